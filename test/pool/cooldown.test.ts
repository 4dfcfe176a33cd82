import { wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { recordEvents } from '../helpers/events.js'

const ORIGIN = 'https://api.example.com'

describe('a cooldown', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  /** How long a key is out after a refusal with these headers, in milliseconds. */
  async function waitAfter(headers: Record<string, string>): Promise<number> {
    const fetch = wrapFetch(async () => new Response(null, { status: 429, headers }), {
      origins: ORIGIN,
      keys: ['a'],
      maxWait: 0,
    })
    await fetch(ORIGIN).catch(() => {})
    return fetch.pool.keys()[0]!.until!.getTime() - Date.now()
  }

  it('is as long as the server says, and up to 5% longer at random', async () => {
    const waits = await Promise.all(Array.from({ length: 50 }, () => waitAfter({ 'retry-after': '10' })))
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(10_000)
    expect(Math.max(...waits)).toBeLessThanOrEqual(10_500)
    expect(new Set(waits).size).toBeGreaterThan(10)
  })

  it('has a floor and a cap, also beyond what a timer holds', async () => {
    expect(await waitAfter({ 'retry-after-ms': '1' })).toBeGreaterThanOrEqual(5)
    expect(await waitAfter({ 'retry-after': '999999999' })).toBeLessThanOrEqual(366 * 86_400_000 + 1_000)
  })

  it('that is long is doubted: one request in a while finds out whether the key is back', async () => {
    let isOut = true
    let sent = 0
    const fetch = wrapFetch(
      async () => {
        sent++
        return isOut ? new Response(null, { status: 429, headers: { 'retry-after': '86400' } }) : new Response('ok')
      },
      { origins: ORIGIN, keys: ['a'], maxWait: 0, cache: false },
    )
    const events = recordEvents(fetch)
    const call = () =>
      fetch(ORIGIN).then(
        ({ status }) => status,
        () => 'exhausted',
      )
    expect(await call()).toBe('exhausted')
    for (let minute = 0; minute < 4; minute++) {
      await vi.advanceTimersByTimeAsync(60_000)
      expect(await call()).toBe('exhausted')
    }
    expect(sent).toBe(1)
    await vi.advanceTimersByTimeAsync(61_000)
    expect(await Promise.all([call(), call(), call()])).toEqual(['exhausted', 'exhausted', 'exhausted'])
    expect(sent).toBe(2)
    expect(fetch.pool.keys()[0]!.until!.getTime() - Date.now()).toBeGreaterThan(80_000_000)
    isOut = false
    await vi.advanceTimersByTimeAsync(601_000)
    expect(await call()).toBe(200)
    expect(events.of('key-recovered')).toMatchObject([{ keyId: 'key-1', cause: 'rate-limit' }])
    expect(await call()).toBe(200)
  })

  it('reads dates against the response’s own Date', async () => {
    const headers = { date: 'Mon, 01 Jan 2024 00:00:00 GMT', 'retry-after': 'Mon, 01 Jan 2024 00:01:00 GMT' }
    const wait = await waitAfter(headers)
    expect(wait).toBeGreaterThanOrEqual(60_000)
    expect(wait).toBeLessThanOrEqual(61_000)
  })

  it('counts requests that were refused together as one', async () => {
    const answers: (() => void)[] = []
    const fetch = wrapFetch(
      () => new Promise(resolve => answers.push(() => resolve(new Response(null, { status: 429 })))),
      { origins: ORIGIN, keys: ['a'], maxWait: 0, cache: false },
    )
    const events = recordEvents(fetch)
    const calls = Array.from({ length: 10 }, () => fetch(ORIGIN).catch(() => {}))
    await vi.advanceTimersByTimeAsync(0)
    for (const answer of answers) answer()
    await Promise.all(calls)
    expect(events.of('key-exhausted')).toHaveLength(1)
    expect(fetch.pool.keys()[0]!.until!.getTime() - Date.now()).toBeLessThan(1_100)
  })

  it('ends early when the program resets the key', async () => {
    const answers = [new Response(null, { status: 429, headers: { 'retry-after': '50' } }), new Response('ok')]
    const fetch = wrapFetch(async () => answers.shift()!, { origins: ORIGIN, keys: ['a'] })
    const call = fetch(ORIGIN)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(fetch.pool.stats().waiting).toBe(1)
    fetch.pool.reset()
    expect((await call).status).toBe(200)
  })

  it('of more than 24.8 days is no timer that fires at once', async () => {
    const fetch = wrapFetch(async () => new Response('ok'), {
      origins: ORIGIN,
      keys: ['a'],
      limits: { requests: 1, per: '40d' },
      maxWait: '60d',
      cache: false,
    })
    await fetch(ORIGIN)
    let done = false
    const second = fetch(ORIGIN).then(() => {
      done = true
    })
    await vi.advanceTimersByTimeAsync(39 * 86_400_000)
    expect(done).toBe(false)
    await vi.advanceTimersByTimeAsync(86_400_000 * 1.2)
    await second
  })
})

describe('the clock', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  it('set back by an hour freezes nothing', async () => {
    const fetch = wrapFetch(async () => new Response('ok'), {
      origins: ORIGIN,
      keys: ['a'],
      limits: { requests: 1, per: '1s' },
      cache: false,
    })
    await fetch(ORIGIN)
    vi.setSystemTime(Date.now() - 3_600_000)
    const second = fetch(ORIGIN)
    await vi.advanceTimersByTimeAsync(1_200)
    expect((await second).status).toBe(200)
  })
})
