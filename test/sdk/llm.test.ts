import { createOpenAI } from '@ai-sdk/openai'
import Anthropic from '@anthropic-ai/sdk'
import { GoogleGenAI } from '@google/genai'
import { APICallError, generateText, streamText } from 'ai'
import { wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { loopback, type Received, type Reply } from '../helpers/loopback.js'
import { stepwise } from '../helpers/sse.js'

const json = (body: unknown, status = 200, headers: Record<string, string> = {}): Reply => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
})
const first = (refusal: Reply, then: Reply) => (request: Received) => (keyOf(request) === 'k-one' ? refusal : then)
const keyOf = ({ headers, key }: Received) => headers['x-goog-api-key'] ?? headers['x-api-key'] ?? key

async function pooled(
  provider: 'anthropic' | 'gemini' | 'openai',
  script: (request: Received, count: number) => Reply | Promise<Reply>,
) {
  const server = await loopback(script)
  const fetch = wrapFetch(globalThis.fetch, {
    ...{ provider, origins: server.url, keys: ['k-one', 'k-two'], onExhausted: 'respond', maxWait: 100 },
  })
  return { server, fetch }
}

describe('the anthropic SDK', () => {
  const LIMITED = json({ type: 'error', error: { type: 'rate_limit_error', message: 'Slow down' } }, 429, {
    'retry-after': '30',
  })
  const message = (text: string) =>
    json({
      id: 'm',
      type: 'message',
      role: 'assistant',
      content: [{ type: 'text', text }],
      usage: { input_tokens: 1, output_tokens: 1 },
    })
  const ask = { model: 'claude', max_tokens: 10, messages: [{ role: 'user' as const, content: 'Hi' }] }
  const over = async (script: (request: Received, count: number) => Reply | Promise<Reply>) => {
    const { server, fetch } = await pooled('anthropic', script)
    return { server, anthropic: new Anthropic({ apiKey: 'unused', baseURL: server.url, fetch }) }
  }

  it('goes on with the next key without a retry of its own', async () => {
    const { server, anthropic } = await over(first(LIMITED, message('Hello')))
    expect((await anthropic.messages.create(ask)).content).toEqual([{ type: 'text', text: 'Hello' }])
    expect(server.received.map(({ headers }) => headers['x-api-key'])).toEqual(['k-one', 'k-two'])
    expect(server.received.map(({ headers }) => headers['x-stainless-retry-count'])).toEqual(['0', '0'])
  })

  it('streams event by event', async () => {
    const deltas = ['Hel', 'lo'].map(text => ({
      event: 'content_block_delta',
      data: { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
    }))
    const stream = stepwise([...deltas, { event: 'message_stop', data: { type: 'message_stop' } }])
    const { anthropic } = await over(() => response => void stream.send(response))
    const heard: string[] = []
    for await (const event of await anthropic.messages.create({ ...ask, stream: true })) {
      heard.push(event.type)
      stream.next()
    }
    expect(heard).toEqual(['content_block_delta', 'content_block_delta', 'message_stop'])
  })

  it('meets its own RateLimitError when every key is used up', async () => {
    const { anthropic } = await over(() => LIMITED)
    await expect(anthropic.messages.create(ask, { maxRetries: 0 })).rejects.toBeInstanceOf(Anthropic.RateLimitError)
  })
})

describe('the Google GenAI SDK', () => {
  const LIMITED = json(
    {
      error: {
        ...{ code: 429, message: 'Resource exhausted', status: 'RESOURCE_EXHAUSTED' },
        details: [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '30s' }],
      },
    },
    429,
  )
  const candidate = (text: string) => ({ candidates: [{ content: { role: 'model', parts: [{ text }] } }] })
  const ask = { model: 'gemini-flash', contents: 'Hi' }
  const over = async (script: (request: Received, count: number) => Reply | Promise<Reply>) => {
    const { server, fetch } = await pooled('gemini', script)
    return { server, genai: new GoogleGenAI({ apiKey: 'unused', httpOptions: { baseUrl: server.url, fetch } }) }
  }

  it('goes on with the next key', async () => {
    const { server, genai } = await over(first(LIMITED, json(candidate('Hello'))))
    expect((await genai.models.generateContent(ask)).text).toBe('Hello')
    expect(server.received.map(keyOf)).toEqual(['k-one', 'k-two'])
  })

  it('streams event by event', async () => {
    const stream = stepwise(['Hel', 'lo'].map(text => JSON.stringify(candidate(text))))
    const { genai } = await over(() => response => void stream.send(response))
    const heard: (string | undefined)[] = []
    for await (const chunk of await genai.models.generateContentStream(ask)) {
      heard.push(chunk.text)
      stream.next()
    }
    expect(heard).toEqual(['Hel', 'lo'])
  })

  it('meets its own error of 429 when every key is used up', async () => {
    const { genai } = await over(() => LIMITED)
    await expect(genai.models.generateContent(ask)).rejects.toMatchObject({ name: 'ApiError', status: 429 })
  })
})

describe('the AI SDK', () => {
  const LIMITED = json(
    { error: { message: 'Rate limit reached', type: 'requests', code: 'rate_limit_exceeded' } },
    429,
    {
      'retry-after': '30',
    },
  )
  const answer = json({
    ...{ id: '1', object: 'chat.completion', created: 0, model: 'gpt' },
    choices: [{ index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 },
  })
  const over = async (script: (request: Received, count: number) => Reply | Promise<Reply>) => {
    const { server, fetch } = await pooled('openai', script)
    return { server, model: createOpenAI({ apiKey: 'unused', baseURL: `${server.url}/v1`, fetch }).chat('gpt') }
  }

  it('generates, and goes on with the next key', async () => {
    const { server, model } = await over(first(LIMITED, answer))
    expect((await generateText({ model, prompt: 'Hi' })).text).toBe('Hello')
    expect(server.keys()).toEqual(['k-one', 'k-two'])
  })

  it('streams event by event', async () => {
    const words = ['Hel', 'lo', '!']
    const chunks = words.map(content =>
      JSON.stringify({
        id: '1',
        created: 0,
        model: 'gpt',
        choices: [{ index: 0, delta: { content }, finish_reason: null }],
      }),
    )
    const stream = stepwise([...chunks, '[DONE]'])
    const { model } = await over(() => response => void stream.send(response))
    const heard: string[] = []
    for await (const text of streamText({ model, prompt: 'Hi' }).textStream) {
      heard.push(text)
      stream.next()
    }
    expect(heard).toEqual(words)
  })

  it('meets its own APICallError of 429 when every key is used up', async () => {
    const { model } = await over(() => LIMITED)
    const error = await generateText({ model, prompt: 'Hi', maxRetries: 0 }).catch((reason: unknown) => reason)
    expect(APICallError.isInstance(error)).toBe(true)
    expect(error).toMatchObject({ statusCode: 429 })
  })
})
