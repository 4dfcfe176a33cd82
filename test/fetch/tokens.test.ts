import fc from 'fast-check'
import { wrapFetch } from 'fetch-keypool'
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
        const reader = new UsageReader()
        let from = 0
        for (const to of [...cuts, bytes.length].sort((a, b) => a - b)) {
          reader.read(bytes.subarray(from, to))
          from = to
        }
        expect(reader.total).toBe(124_245)
      }),
    )
  })
})
