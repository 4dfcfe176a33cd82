import { wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { recordEvents } from '../helpers/events.js'

/** A stand-in for a network: answers after `latency`, and notes when each key was used. */
function network(latency = 10) {
  const sent: { key: string; at: number; url: string }[] = []
  const fetch = (async (input: RequestInfo | URL, init?: RequestInit) => {
    const request = new Request(input, init)
    sent.push({ key: request.headers.get('authorization')!.slice(7), at: Date.now(), url: request.url })
    if (latency > 0) await new Promise(resolve => setTimeout(resolve, latency))
    return new Response('ok')
  }) as typeof globalThis.fetch
  return { sent, fetch }
}

/** The most events within any stretch of a length. */
function most(times: readonly number[], per: number): number {
  return Math.max(...times.map(from => times.filter(time => time >= from && time < from + per).length))
}

const BASE = { origins: 'https://api.example.com', keys: ['a'], cache: false, maxWait: '1d' } as const
const URL_ = 'https://api.example.com/x'

describe('limits', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  async function run(calls: Promise<unknown>[]) {
    await vi.runAllTimersAsync()
    await Promise.all(calls)
  }
  const many = (fetch: typeof globalThis.fetch, count: number) => Array.from({ length: count }, () => fetch(URL_))

  it('of requests without burst hold in any stretch of the window', async () => {
    const { sent, fetch } = network(40)
    const pooled = wrapFetch(fetch, { ...BASE, limits: { requests: 10, per: '1s' } })
    await run(many(pooled, 45))
    expect(sent).toHaveLength(45)
    expect(
      most(
        sent.map(({ at }) => at),
        1000,
      ),
    ).toBe(10)
    expect(sent.at(-1)!.at - sent[0]!.at).toBeLessThan(4_600)
  })

  it('of requests with burst are a bucket that refills', async () => {
    const { sent, fetch } = network(5)
    const pooled = wrapFetch(fetch, { ...BASE, limits: { requests: 50, per: '1s', burst: 10 } })
    await run(many(pooled, 110))
    expect(sent.filter(({ at }) => at === sent[0]!.at)).toHaveLength(10)
    const took = sent.at(-1)!.at - sent[0]!.at
    expect(took).toBeGreaterThanOrEqual(2_000)
    expect(took).toBeLessThan(2_100)
  })

  it('of several windows hold all at once', async () => {
    const { sent, fetch } = network()
    const limits = [
      { requests: 5, per: '1s' },
      { requests: 12, per: '10s' },
    ]
    await run(many(wrapFetch(fetch, { ...BASE, limits }), 30))
    const times = sent.map(({ at }) => at)
    expect(most(times, 1000)).toBe(5)
    expect(most(times, 10_000)).toBe(12)
  })

  it('of slow answers are used in full from the first moment', async () => {
    const { sent, fetch } = network(20_000)
    await run(many(wrapFetch(fetch, { ...BASE, limits: { requests: 10, per: '1s' } }), 100))
    const took = sent.at(-1)!.at - sent[0]!.at
    expect(took).toBeLessThan(9_000 * 1.08)
    expect(
      most(
        sent.map(({ at }) => at),
        1000,
      ),
    ).toBe(10)
  })

  it('of concurrency hold until the body has been received', async () => {
    let open = 0
    let peak = 0
    const bodies = (async () => {
      peak = Math.max(peak, ++open)
      const stream = new ReadableStream(
        {
          async pull(controller) {
            await new Promise(resolve => setTimeout(resolve, 30))
            open--
            controller.enqueue(new Uint8Array([1]))
            controller.close()
          },
        },
        { highWaterMark: 0 },
      )
      return new Response(stream)
    }) as typeof globalThis.fetch
    const pooled = wrapFetch(bodies, { ...BASE, limits: { concurrency: 3 } })
    // Nobody reads: small bodies are taken in all the same.
    await run(many(pooled, 12))
    expect(peak).toBe(3)
    expect(pooled.pool.keys()[0]).toMatchObject({ inFlight: 0, state: 'ready' })
  })

  it('of tokens weigh requests by their cost', async () => {
    const { sent, fetch } = network()
    const cost = (request: Request) => Number(request.headers.get('x-tokens'))
    const pooled = wrapFetch(fetch, { ...BASE, limits: { tokens: 100, per: '10s', cost } })
    const call = (tokens: number) => pooled(URL_, { headers: { 'x-tokens': String(tokens) } })
    await run([call(60), call(30), call(20), call(5)])
    // First come, first served: the light one does not pass the heavy one that waits.
    expect(sent.map(({ at }) => Math.floor((at - sent[0]!.at) / 10_000))).toEqual([0, 0, 1, 1])
    const never = expect(call(101)).rejects.toMatchObject({ code: 'ERR_COST_EXCEEDS_LIMIT' })
    await vi.runAllTimersAsync()
    await never
  })

  it('of tokens that turned a heavy request away are there for a lighter one, once that is served', async () => {
    const { sent, fetch } = network()
    const cost = (request: Request) => Number(request.headers.get('x-tokens'))
    const pooled = wrapFetch(fetch, { ...BASE, limits: { tokens: 100, per: '10m', cost } })
    const call = (tokens: number) => pooled(URL_, { headers: { 'x-tokens': String(tokens) } })
    await run([call(60)])
    const from = Date.now()
    const heavy = call(50)
    const light = call(10)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(pooled.pool.stats().waiting).toBe(2)
    pooled.pool.add({ value: 'b', limits: { tokens: 50, per: '10m', cost } })
    await vi.advanceTimersByTimeAsync(1_000)
    expect(pooled.pool.stats().waiting).toBe(0)
    expect(sent.slice(1).map(({ key }) => key)).toEqual(['b', 'a'])
    await run([heavy, light])
    expect(sent.at(-1)!.at - from).toBeLessThan(10_000)
  })

  it('of a calendar day end at midnight in their time zone', async () => {
    const { sent, fetch } = network()
    const limits = { requests: 2, per: 'day', timeZone: 'America/Los_Angeles' } as const
    await run(many(wrapFetch(fetch, { ...BASE, limits }), 3))
    expect(new Date(sent[2]!.at).toISOString()).toMatch(/^2026-09-07T07:00:0/)
  })

  it('of a calendar month end with the month', async () => {
    const { sent, fetch } = network()
    const pooled = wrapFetch(fetch, { ...BASE, maxWait: '40d', limits: { requests: 1, per: 'month' } })
    await run(many(pooled, 2))
    expect(new Date(sent[1]!.at).toISOString()).toMatch(/^2026-10-01T00:00:0/)
  })

  it('are each key’s own, and those of a group are one bucket', async () => {
    const { sent, fetch } = network()
    const pooled = wrapFetch(fetch, {
      ...BASE,
      limits: { requests: 2, per: '1m' },
      keys: [
        'a',
        { value: 'b', limits: { requests: 5, per: '1m' } },
        { value: 'c', group: 'g' },
        { value: 'd', group: 'g' },
      ],
      maxWait: 0,
    })
    const settled = Promise.allSettled(many(pooled, 20))
    await vi.runAllTimersAsync()
    const calls = await settled
    expect(calls.filter(({ status }) => status === 'fulfilled')).toHaveLength(9)
    const count = (keys: string) => sent.filter(({ key }) => keys.includes(key)).length
    expect([count('a'), count('b'), count('cd')]).toEqual([2, 5, 2])
  })

  it('reached give up at maxWait, with the time of return', async () => {
    const { fetch } = network()
    const pooled = wrapFetch(fetch, { ...BASE, limits: { requests: 1, per: '1m' }, maxWait: '10s' })
    await run([pooled(URL_)])
    const error = await pooled(URL_).catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'ERR_POOL_EXHAUSTED', causes: [{ keyId: 'key-1', cause: null }] })
    expect((error as { retryAt: Date }).retryAt.getTime()).toBeGreaterThan(Date.now() + 49_000)
  })

  it('tell when little is left of a long window', async () => {
    const { fetch } = network()
    const pooled = wrapFetch(fetch, { ...BASE, limits: { requests: 40, per: '1h' } })
    const events = recordEvents(pooled)
    for (let index = 0; index < 40; index++) await run([pooled(URL_)])
    const common = {
      callId: expect.any(String),
      keyId: 'key-1',
      part: null,
      unit: 'requests',
      limit: 40,
      per: 3_600_000,
      dryAt: null,
    }
    expect(events.of('key-near-exhaustion')).toEqual([
      { ...common, remaining: 8, threshold: 0.2 },
      { ...common, remaining: 2, threshold: 0.05 },
    ])
  })

  it('serve priority high before auto before low', async () => {
    const { sent, fetch } = network()
    const pooled = wrapFetch(fetch, { ...BASE, limits: { requests: 1, per: 100 } })
    const call = (path: string, priority?: RequestPriority) =>
      pooled(`https://api.example.com/${path}`, priority ? { priority } : {})
    await run([call('first'), call('low', 'low'), call('auto'), call('high', 'high')])
    expect(sent.map(({ url }) => new URL(url).pathname)).toEqual(['/first', '/high', '/auto', '/low'])
  })

  it('hold no timer while nobody waits', async () => {
    const { fetch } = network(0)
    const pooled = wrapFetch(fetch, {
      ...BASE,
      keys: Array.from({ length: 100 }, (_, index) => `k${index}`),
      limits: { requests: 5, per: '1m' },
    })
    await run(many(pooled, 300))
    expect(vi.getTimerCount()).toBe(0)
  })
})
