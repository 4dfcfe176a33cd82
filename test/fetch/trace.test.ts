import { wrapFetch } from 'fetch-keypool'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { type EVENT_NAMES, recordEvents } from '../helpers/events.js'
import { loopback } from '../helpers/loopback.js'

const QUICK = { minDelay: 1, maxDelay: 5 }
const LIMITED = { status: 429, headers: { 'retry-after': '30' } }

describe('the events of a call', () => {
  it('carry its id, which no other call has', async () => {
    const server = await loopback(({ headers }, count) =>
      headers.authorization === 'Bearer a'
        ? { status: 401 }
        : headers.authorization === 'Bearer b'
          ? LIMITED
          : count === 3
            ? { status: 503 }
            : { body: 'done', headers: { 'cache-control': 'max-age=60' } },
    )
    const options = { keys: ['a', 'b', 'c'], strategy: 'fill-first', retry: QUICK } as const
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, ...options })
    const { all } = recordEvents(fetch)
    await (await fetch(`${server.url}/one`)).text()
    const first = all.splice(0).map(({ name, payload }) => [name, (payload as { callId: string }).callId] as const)
    expect(new Set(first.map(([name]) => name))).toEqual(
      new Set([
        'cache-missed',
        'key-disabled',
        'key-rotated',
        'key-exhausted',
        'request-retried',
        'request-finished',
      ] satisfies (typeof EVENT_NAMES)[number][]),
    )
    expect(new Set(first.map(([, id]) => id)).size).toBe(1)
    expect(first[0]![1]).toMatch(/\w/)
    await (await fetch(`${server.url}/one`)).text()
    const second = all.map(({ payload }) => (payload as { callId: string }).callId)
    expect(all.map(({ name }) => name)).toEqual(['cache-hit', 'request-finished'])
    expect(new Set(second).size).toBe(1)
    expect(second[0]).not.toBe(first[0]![1])
  })

  it('have no id where it was no call that brought them about', async () => {
    const server = await loopback(() => ({ body: 'done' }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'] })
    const events = recordEvents(fetch)
    fetch.pool.disable('key-1')
    fetch.pool.enable('key-1')
    expect(events.of('key-disabled')).toMatchObject([{ callId: null }])
    expect(events.of('key-recovered')).toMatchObject([{ callId: null }])
  })

  it('tell of each attempt: the key, the status, the cause, and how long it waited and took', async () => {
    const server = await loopback(({ headers }, count) =>
      headers.authorization === 'Bearer a' ? LIMITED : count === 2 ? { status: 503 } : { body: 'done' },
    )
    const options = { keys: ['a', 'b'], strategy: 'fill-first', retry: { minDelay: 40, maxDelay: 40 } } as const
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, ...options })
    const events = recordEvents(fetch)
    await (await fetch(server.url)).text()
    const [finished] = events.of('request-finished')
    expect(finished).toMatchObject({ attempts: 3, status: 200 })
    expect(finished!.trace.map(({ keyId, status, cause, error }) => ({ keyId, status, cause, error }))).toEqual([
      { keyId: 'key-1', status: 429, cause: 'rate-limit', error: null },
      { keyId: 'key-2', status: 503, cause: 'overload', error: null },
      { keyId: 'key-2', status: 200, cause: null, error: null },
    ])
    expect(finished!.trace[2]!.wait).toBeGreaterThanOrEqual(20)
    for (const { wait, duration } of finished!.trace) {
      expect(wait).toBeGreaterThanOrEqual(0)
      expect(duration).toBeGreaterThanOrEqual(0)
    }
  })

  it('tell of attempts that got no answer', async () => {
    const server = await loopback((_, count) => (count === 1 ? response => response.destroy() : { body: 'there' }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: QUICK })
    const events = recordEvents(fetch)
    await (await fetch(server.url)).text()
    expect(events.of('request-finished')[0]!.trace).toMatchObject([
      { keyId: 'key-1', status: null, cause: null, error: 'TypeError' },
      { keyId: 'key-1', status: 200, cause: null, error: null },
    ])
  })

  it('have no attempts where the call was never sent', async () => {
    const server = await loopback(() => LIMITED)
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], maxWait: '50ms' })
    await expect(fetch(server.url)).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
    const events = recordEvents(fetch)
    await expect(fetch(server.url)).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
    expect(events.of('request-finished')).toMatchObject([{ attempts: 0, trace: [], keyId: null }])
  })

  it('tell of the part, and of the tokens as they were reserved and as they were settled', async () => {
    const server = await loopback(() => ({
      headers: { 'content-type': 'application/json' },
      body: '{"usage":{"total_tokens":12}}',
    }))
    const limits = { tokens: 1_000, per: '1m', cost: () => 40 } as const
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], scope: 'model', limits })
    const events = recordEvents(fetch)
    const body = JSON.stringify({ model: 'small' })
    await (await fetch(server.url, { method: 'POST', body })).text()
    const [finished] = events.of('request-finished')
    expect(finished).toMatchObject({ part: 'small', tokens: 40 })
    expect(events.of('tokens-settled')).toEqual([
      { callId: finished!.callId, keyId: 'key-1', part: 'small', tokens: 12 },
    ])
  })

  it('reach a logger as they are', async () => {
    const lines: Record<string, unknown>[] = []
    const write = (fields: object) => void lines.push(fields as never)
    const server = await loopback(() => ({ body: 'done' }))
    const logger = { debug: write, info: write, warn: write, error: write }
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], logger, cache: false })
    await (await fetch(server.url)).text()
    expect(lines).toMatchObject([
      { event: 'request-finished', callId: expect.any(String), trace: [{ keyId: 'key-1', status: 200 }] },
    ])
  })
})

describe('callers that give up together', () => {
  it.each(['signals of their own', 'timeout.total'])('send nothing more: %s', async how => {
    const server = await loopback(() => response => setTimeout(() => response.end('late'), 300))
    const options = { keys: ['a'], limits: { concurrency: 1 }, cache: false, retry: false } as const
    const timeout = how === 'timeout.total' ? '450ms' : undefined
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, timeout, ...options })
    const signal = () => (timeout ? undefined : AbortSignal.timeout(450))
    const calls = Array.from({ length: 20 }, (_, index) =>
      fetch(`${server.url}/${index}`, { signal: signal() ?? null }),
    )
    const settled = await Promise.allSettled(calls)
    expect(settled.filter(({ status }) => status === 'rejected')).toHaveLength(19)
    const { attempts, turnedAway } = fetch.pool.stats()
    // Two, and on a busy machine a few whose time is up a moment later; not all that wait.
    expect(attempts).toBeLessThanOrEqual(10)
    expect(turnedAway).toBeGreaterThanOrEqual(10)
  })
})

describe('a stream of events', () => {
  it.each([
    ['\n', 'data: {"a":1}\n\n'],
    ['\r\n', 'event: message_start\r\ndata: {"a":1}\r\n\r\n'],
    ['comments first', ': PROCESSING\n\ndata: {"a":1}\n\n'],
  ])('comes through as soon as its first event is there: %j', async (_, first) => {
    // No time passes: only the event itself can let the response go.
    vi.useFakeTimers()
    onTestFinished(() => void vi.useRealTimers())
    const network = async () => {
      const body = new ReadableStream({
        start: controller => controller.enqueue(new TextEncoder().encode(first)),
      })
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
    }
    const fetch = wrapFetch(network, { origins: 'https://api.example.com', keys: ['a'], cache: false })
    const response = await fetch('https://api.example.com')
    const { value } = await response.body!.getReader().read()
    expect(new TextDecoder().decode(value)).toBe(first)
  })
})
