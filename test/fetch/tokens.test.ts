import fc from 'fast-check'
import { type Limit, wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { UsageReader } from '../../src/signals/usage.js'
import { loopback } from '../helpers/loopback.js'

const json = { 'content-type': 'application/json' }

describe('tokens', () => {
  function wrap(url: string, tokens = 1_000, burst?: number) {
    const limits = { tokens, per: '1h', cost: () => 400, ...(burst && { burst }) }
    return wrapFetch(globalThis.fetch, { origins: url, keys: ['a'], limits, cache: false, maxWait: 0 })
  }
  const left = (fetch: ReturnType<typeof wrap>) => fetch.pool.keys()[0]!.limits[0]!.remaining

  it.each([
    ['OpenAI', { usage: { prompt_tokens: 20, completion_tokens: 30, total_tokens: 50 } }],
    ['Anthropic', { usage: { input_tokens: 20, output_tokens: 30 } }],
    ['Gemini', { usageMetadata: { promptTokenCount: 20, candidatesTokenCount: 30, totalTokenCount: 50 } }],
  ])('are reserved as estimated, and settled as %s says', async (_, answer) => {
    const server = await loopback(() => ({ headers: json, body: JSON.stringify(answer) }))
    for (const burst of [undefined, 1_000]) {
      const fetch = wrap(server.url, 1_000, burst)
      const call = fetch(server.url)
      await new Promise(resolve => setTimeout(resolve, 0))
      expect(left(fetch)).toBe(600)
      expect(await (await call).json()).toEqual(answer)
      expect(left(fetch)).toBe(950)
    }
  })

  it('are settled when the answer took more than estimated: the next waits', async () => {
    const server = await loopback(() => ({ headers: json, body: '{"usage":{"total_tokens":900}}' }))
    const fetch = wrap(server.url)
    await (await fetch(server.url)).text()
    expect(left(fetch)).toBe(100)
    await expect(fetch(server.url)).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
  })

  it('are settled by header fields where those say it', async () => {
    const headers = { 'x-amzn-bedrock-input-token-count': '60', 'x-amzn-bedrock-output-token-count': '15' }
    const server = await loopback(() => ({ headers, body: 'binary' }))
    const fetch = wrap(server.url)
    await fetch(server.url)
    expect(left(fetch)).toBe(925)
  })

  it('of a stream are settled at its end, and the stream comes through as it was sent', async () => {
    const events = [
      'data: {"type":"message_start","message":{"usage":{"input_tokens":25,"output_tokens":1}}}\n\n',
      'data: {"delta":{"text":"the field \\"total_tokens\\": 999 in a text"}}\n\n',
      'data: {"type":"message_delta","usage":{"output_tokens":75}}\n\n',
    ]
    const gates: (() => void)[] = []
    const server = await loopback(() => async response => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const event of events) {
        response.write(event)
        await new Promise<void>(resolve => gates.push(resolve))
      }
      response.end()
    })
    const fetch = wrap(server.url)
    const { body } = await fetch(server.url)
    const reader = body!.pipeThrough(new TextDecoderStream()).getReader()
    for (const event of events) {
      // Each event is here before the next is sent.
      expect((await reader.read()).value).toBe(event)
      expect(left(fetch)).toBe(600)
      gates.shift()!()
    }
    expect((await reader.read()).done).toBe(true)
    expect(left(fetch)).toBe(900)
  })

  it('stay as they were estimated where nothing says what they were', async () => {
    const server = await loopback(() => ({ headers: json, body: '{"ok":true}' }))
    const fetch = wrap(server.url)
    await (await fetch(server.url)).text()
    expect(left(fetch)).toBe(600)
  })

  it('are found wherever a stream is cut into chunks', () => {
    const text = 'data: {"usage":{"input_tokens": 123456, "output_tokens":789}}\n\ndata: [DONE]\n\n'
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: text.length }), { maxLength: 20 }), cuts => {
        const bytes = new TextEncoder().encode(text)
        const reader = new UsageReader(new Headers({ 'content-type': 'text/event-stream' }))
        let from = 0
        for (const to of [...cuts, bytes.length].sort((a, b) => a - b)) {
          reader.read(bytes.subarray(from, to))
          from = to
        }
        expect(reader.total).toBe(124_245)
      }),
    )
  })

  const sse = (...events: unknown[]) =>
    `${events.map(each => `data: ${JSON.stringify(each)}\n\n`).join('')}data: [DONE]\n\n`

  it.each<[string, number, unknown, number?]>([
    ['of JSON', 60, { usage: { prompt_tokens: 50, completion_tokens: 10, total_tokens: 60 } }],
    [
      'at the end of a stream',
      60,
      sse({ choices: [], usage: null }, { usage: { prompt_tokens: 50, completion_tokens: 10, total_tokens: 60 } }),
    ],
    ['of a stream without them: what was reserved', 30, sse({ choices: [{ delta: { content: 'a' } }] })],
    [
      'written to a prompt cache',
      460,
      { usage: { input_tokens: 50, cache_creation_input_tokens: 400, cache_read_input_tokens: 7, output_tokens: 10 } },
    ],
    [
      'bit by bit',
      60,
      sse(
        { type: 'message_start', message: { usage: { input_tokens: 50, output_tokens: 1 } } },
        { type: 'message_delta', usage: { output_tokens: 10 } },
      ),
    ],
    [
      'with thoughts',
      90,
      {
        usageMetadata: { promptTokenCount: 50, candidatesTokenCount: 10, thoughtsTokenCount: 30, totalTokenCount: 90 },
      },
    ],
    ['of a list that is streamed', 90, [{ candidates: [] }, { usageMetadata: { totalTokenCount: 90 } }]],
    [
      'beside what is billed',
      60,
      {
        usage: {
          billed_units: { input_tokens: 20, output_tokens: 10 },
          tokens: { input_tokens: 50, output_tokens: 10 },
        },
      },
    ],
    ['of Ollama', 60, { response: 'x', prompt_eval_count: 50, eval_count: 10 }],
    [
      'not of a text that has such words',
      60,
      { choices: [{ message: { content: '{"total_tokens":9999}' } }], usage: { total_tokens: 60 } },
    ],
    [
      'not of what a tool is called with',
      60,
      {
        content: [{ type: 'tool_use', input: { output_tokens: 5000, usage: { total_tokens: 7000 } } }],
        usage: { input_tokens: 50, output_tokens: 10 },
      },
    ],
    ['of a request that was wrong: none', 0, { error: { message: 'bad' } }, 400],
  ])('%s are settled by the documented usage alone', async (_, expected, answer, status = 200) => {
    const isStream = typeof answer === 'string'
    const headers = { 'content-type': isStream ? 'text/event-stream' : 'application/json' }
    const base = async () => new Response(isStream ? answer : JSON.stringify(answer), { status, headers })
    const limits = { tokens: 10_000, per: '1m', cost: () => 30 } as const
    const fetch = wrapFetch(base, { origins: 'http://a.test', keys: ['a'], limits, cache: false })
    await (await fetch('http://a.test/', { method: 'POST', body: '{}' })).text()
    expect(10_000 - fetch.pool.keys()[0]!.limits[0]!.remaining).toBe(expected)
  })

  it.each<[string, Pick<Limit, 'cost' | 'settle'>, number]>([
    ['that is told to be', { cost: () => 2, settle: false }, 900],
    ['that a response would exceed as a whole', { cost: () => 2 }, 1_200],
  ])('are no matter of a unit of one’s own: %s', async (_, own, told) => {
    const base = async () => Response.json({ usage: { total_tokens: told } })
    const limits: Limit = { tokens: 1_000, per: 'day', ...own }
    const fetch = wrapFetch(base, { origins: 'http://a.test', keys: ['a'], limits, cache: false })
    for (let call = 0; call < 3; call++) await (await fetch('http://a.test/', { method: 'POST', body: '{}' })).text()
    expect(fetch.pool.keys()[0]!.limits[0]!.remaining).toBe(994)
  })

  it('that are told again take none: polling what was made before', async () => {
    const base = async () => Response.json({ usage: { total_tokens: 1_000 } })
    const limits = {
      tokens: 3_000,
      per: '1m',
      cost: ({ method }: Request): number => (method === 'POST' ? 1_000 : 0),
    } as const
    const fetch = wrapFetch(base, { origins: 'http://a.test', keys: ['a'], limits, cache: false })
    await (await fetch('http://a.test/', { method: 'POST', body: '{}' })).text()
    for (let call = 0; call < 4; call++) await (await fetch('http://a.test/')).text()
    expect(fetch.pool.keys()[0]!.limits[0]!.remaining).toBe(2_000)
  })
})
