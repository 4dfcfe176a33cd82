import { wrapFetch } from 'fetch-keypool'
import OpenAI, { APIConnectionError, AuthenticationError, BadRequestError, RateLimitError } from 'openai'
import { describe, expect, it } from 'vitest'
import { recordEvents } from '../helpers/events.js'
import { loopback, type Received, type Reply } from '../helpers/loopback.js'
import { stepwise } from '../helpers/sse.js'

const LIMITED: Reply = {
  status: 429,
  headers: { 'content-type': 'application/json', 'retry-after': '30' },
  body: JSON.stringify({ error: { message: 'Rate limit reached', type: 'requests', code: 'rate_limit_exceeded' } }),
}
const completion = (content: string): Reply => ({
  headers: { 'content-type': 'application/json', 'x-request-id': 'req_1' },
  body: JSON.stringify({
    ...{ id: '1', object: 'chat.completion', created: 0, model: 'gpt' },
    choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
  }),
})
const chat = { model: 'gpt', messages: [{ role: 'user' as const, content: 'Hi' }] }

async function client(
  script: (request: Received, count: number) => Reply | Promise<Reply>,
  options: Partial<Parameters<typeof wrapFetch>[1]> = {},
) {
  const server = await loopback(script)
  const fetch = wrapFetch(globalThis.fetch, {
    ...{ provider: 'openai', origins: server.url, keys: ['sk-one', 'sk-two'], onExhausted: 'respond' },
    ...options,
  })
  return {
    server,
    fetch,
    events: recordEvents(fetch),
    openai: new OpenAI({ apiKey: 'unused', baseURL: `${server.url}/v1`, fetch }),
  }
}

describe('the openai SDK', () => {
  it('chats, and goes on with the next key without a retry of its own', async () => {
    const { server, events, openai } = await client(({ key }) => (key === 'sk-one' ? LIMITED : completion('Hello')))
    const { data, response, request_id } = await openai.chat.completions.create(chat).withResponse()
    expect(data.choices[0]!.message.content).toBe('Hello')
    expect(request_id).toBe('req_1')
    expect(response.url).toBe(`${server.url}/v1/chat/completions`)
    expect(server.keys()).toEqual(['sk-one', 'sk-two'])
    // The SDK counts its retries in a field.
    expect(server.received.map(({ headers }) => headers['x-stainless-retry-count'])).toEqual(['0', '0'])
    expect(events.of('key-rotated')).toHaveLength(1)
  })

  it('streams event by event, as it was sent', async () => {
    const words = ['Hel', 'lo', ', ', 'world']
    const stream = stepwise([
      ...words.map(content =>
        JSON.stringify({ id: '1', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content } }] }),
      ),
      '[DONE]',
    ])
    const { openai } = await client(() => response => void stream.send(response), { limits: { concurrency: 1 } })
    const heard: string[] = []
    for await (const chunk of await openai.chat.completions.create({ ...chat, stream: true })) {
      heard.push(chunk.choices[0]!.delta.content!)
      stream.next()
    }
    expect(heard).toEqual(words)
  })

  it('ends a stream when its reader has had enough', async () => {
    let closed = false
    const { openai, fetch } = await client(
      () => response => {
        response.on('close', () => {
          closed = true
        })
        response.writeHead(200, { 'content-type': 'text/event-stream' })
        response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta: { content: 'a' } }] })}\n\n`)
      },
      { limits: { concurrency: 1 } },
    )
    for await (const _ of await openai.chat.completions.create({ ...chat, stream: true })) break
    await expect.poll(() => closed).toBe(true)
    expect(fetch.pool.keys()[0]!.inFlight).toBe(0)
  })

  it('uploads a file, again with the next key', async () => {
    const { server, openai } = await client(({ key }) =>
      key === 'sk-one'
        ? LIMITED
        : { headers: { 'content-type': 'application/json' }, body: JSON.stringify({ id: 'file-1', object: 'file' }) },
    )
    const file = await OpenAI.toFile(new TextEncoder().encode('{"a":1}\n'.repeat(1_000)), 'data.jsonl')
    expect((await openai.files.create({ file, purpose: 'batch' })).id).toBe('file-1')
    for (const { body, headers } of server.received) {
      expect(headers['content-type']).toMatch(/^multipart\/form-data; boundary=/)
      expect(body).toContain('filename="data.jsonl"')
      expect(body).toContain('{"a":1}\n'.repeat(1_000))
    }
    expect(server.keys()).toEqual(['sk-one', 'sk-two'])
  })

  it('meets its own RateLimitError, with when to come back, when every key is used up', async () => {
    const { openai } = await client(() => LIMITED, { maxWait: 100 })
    const error = await openai.chat.completions.create(chat, { maxRetries: 0 }).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RateLimitError)
    expect(error).toMatchObject({ status: 429, code: 'rate_limit_exceeded' })
    expect(Number((error as RateLimitError).headers!.get('retry-after'))).toBeGreaterThan(0)
    // And again, without the server being asked.
    await expect(openai.chat.completions.create(chat, { maxRetries: 0 })).rejects.toBeInstanceOf(RateLimitError)
  })

  it('meets its own AuthenticationError when every key is bad', async () => {
    const { openai } = await client(() => ({
      status: 401,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ error: { message: 'Incorrect API key provided', code: 'invalid_api_key' } }),
    }))
    await expect(openai.chat.completions.create(chat)).rejects.toBeInstanceOf(AuthenticationError)
  })

  it('meets the request’s own errors as they are', async () => {
    const { openai, server } = await client(() => ({
      status: 400,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ error: { message: 'No such model', param: 'model', code: 'model_not_found' } }),
    }))
    await expect(openai.chat.completions.create(chat)).rejects.toMatchObject({
      param: 'model',
      code: 'model_not_found',
    })
    await expect(openai.chat.completions.create(chat)).rejects.toBeInstanceOf(BadRequestError)
    expect(server.received).toHaveLength(2)
  })

  it('retries what is its own to retry: a POST that failed', async () => {
    const { openai, server } = await client((_, count) => (count === 1 ? { status: 500 } : completion('at last')))
    expect((await openai.chat.completions.create(chat)).choices[0]!.message.content).toBe('at last')
    expect(server.received.map(({ headers }) => headers['x-stainless-retry-count'])).toEqual(['0', '1'])
  })

  it('times out, aborts and loses its connection as ever', async () => {
    const { openai } = await client(() => ({ delay: 5_000 }))
    await expect(openai.chat.completions.create(chat, { timeout: 50, maxRetries: 0 })).rejects.toBeInstanceOf(
      OpenAI.APIConnectionTimeoutError,
    )
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 30)
    await expect(openai.chat.completions.create(chat, { signal: controller.signal })).rejects.toBeInstanceOf(
      OpenAI.APIUserAbortError,
    )
    const broken = await client(() => response => response.destroy())
    await expect(broken.openai.chat.completions.create(chat, { maxRetries: 0 })).rejects.toBeInstanceOf(
      APIConnectionError,
    )
  })
})
