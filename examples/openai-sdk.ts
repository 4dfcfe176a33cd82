/** The OpenAI SDK over a pool, streaming included: run it with `npx tsx examples/openai-sdk.ts`. It asks a server on loopback. */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { wrapFetch } from 'fetch-keypool'
import OpenAI from 'openai'

// A stand-in for the API: the first key is out of requests for a minute.
const server = createServer((request, response) => {
  if (request.headers.authorization === 'Bearer sk-first') {
    response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '60' })
    response.end(
      JSON.stringify({ error: { message: 'Rate limit reached', type: 'requests', code: 'rate_limit_exceeded' } }),
    )
    return
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  for (const content of ['Hello', ', ', 'world', '!']) {
    const chunk = {
      id: '1',
      object: 'chat.completion.chunk',
      created: 0,
      model: 'gpt',
      choices: [{ index: 0, delta: { content } }],
    }
    response.write(`data: ${JSON.stringify(chunk)}\n\n`)
  }
  response.end('data: [DONE]\n\n')
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

const fetch = wrapFetch(globalThis.fetch, {
  origins: origin, // 'https://api.openai.com'
  keys: ['sk-first', 'sk-second'],
  limits: [{ requests: 500, per: '1m' }, { concurrency: 20 }],
  onExhausted: 'respond', // the SDK's own RateLimitError when every key is used up
})
fetch.pool.on('key-rotated', ({ previousKeyId, keyId, cause }) => console.log(`${previousKeyId} → ${keyId}: ${cause}`))

const client = new OpenAI({ apiKey: 'unused', baseURL: `${origin}/v1`, fetch })
const stream = await client.chat.completions.create({
  model: 'gpt',
  messages: [{ role: 'user', content: 'Hi' }],
  stream: true,
})
let text = ''
for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
console.log(text)

await fetch.close()
server.close()
