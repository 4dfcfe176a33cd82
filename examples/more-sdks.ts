/**
 * One pool behind whatever takes a fetch: the Anthropic SDK, the AI SDK, Octokit and ky. Run it with
 * `npx tsx examples/more-sdks.ts`. It asks a server on loopback, whose first key is always limited.
 */

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createOpenAI } from '@ai-sdk/openai'
import Anthropic from '@anthropic-ai/sdk'
import { generateText } from 'ai'
import { wrapFetch } from 'fetch-keypool'
import ky from 'ky'
import { Octokit } from 'octokit'

// A stand-in for the APIs.
const answers: Record<string, object> = {
  '/v1/messages': { type: 'message', role: 'assistant', content: [{ type: 'text', text: 'Hello from Claude' }] },
  '/v1/chat/completions': {
    ...{ id: '1', object: 'chat.completion', created: 0, model: 'gpt' },
    choices: [{ index: 0, message: { role: 'assistant', content: 'Hello from GPT' }, finish_reason: 'stop' }],
  },
  '/user': { login: 'hello-from-github' },
  '/anything': { text: 'Hello from anywhere' },
}
const server = createServer((request, response) => {
  request.resume()
  const isLimited = `${request.headers.authorization} ${request.headers['x-api-key']}`.includes('first')
  response.writeHead(isLimited ? 429 : 200, { 'content-type': 'application/json', 'retry-after': '60' })
  response.end(JSON.stringify(isLimited ? { error: { message: 'Rate limit reached' } } : answers[request.url!]))
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
const keys = ['first-key', 'second-key']
const pools = (['anthropic', 'openai', 'github'] as const).map(provider =>
  wrapFetch(globalThis.fetch, { provider, origins: origin, keys, onExhausted: 'respond' }),
)
const [claude, gpt, github] = pools as [(typeof pools)[0], (typeof pools)[0], (typeof pools)[0]]
const anywhere = wrapFetch(globalThis.fetch, { origins: origin, keys, onExhausted: 'respond' })

const anthropic = new Anthropic({ apiKey: 'unused', baseURL: origin, fetch: claude })
const message = await anthropic.messages.create({
  ...{ model: 'claude', max_tokens: 10 },
  messages: [{ role: 'user', content: 'Hi' }],
})
console.log(message.content[0])

const openai = createOpenAI({ apiKey: 'unused', baseURL: `${origin}/v1`, fetch: gpt })
console.log((await generateText({ model: openai.chat('gpt'), prompt: 'Hi' })).text)

const octokit = new Octokit({ baseUrl: origin, request: { fetch: github } })
console.log((await octokit.request('GET /user')).data.login)

console.log(await ky.get(`${origin}/anything`, { fetch: anywhere }).json())

for (const pool of [...pools, anywhere]) await pool.close()
server.close()
