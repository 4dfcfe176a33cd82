/** Answers every chat completion at once, as a language model's service would: in a process of its own; says its address. */
import { createServer } from 'node:http'

const answer = JSON.stringify({
  ...{ id: 'chatcmpl-1', object: 'chat.completion', created: 1_700_000_000, model: 'gpt' },
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello, world! '.repeat(20) }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 10, completion_tokens: 60, total_tokens: 70 },
})
const server = createServer((request, response) => {
  request.resume()
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length })
    response.end(answer)
  })
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', 4_096, () => process.send(`http://127.0.0.1:${server.address().port}`))
process.on('disconnect', () => process.exit(0))
