import { wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { recordEvents } from '../helpers/events.js'

const ORIGIN = 'https://api.example.com'
const KEYS = ['a', 'b', 'c', 'd', 'e']

describe('who is to blame', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  function pool(answer: (key: string) => Response, options: { maxWait?: number } = {}) {
    const sent: string[] = []
    const network: typeof globalThis.fetch = async (_, init) => {
      const key = new Headers(init?.headers).get('authorization')!.slice('Bearer '.length)
      sent.push(key)
      return answer(key)
    }
    const fetch = wrapFetch(network, { origins: ORIGIN, keys: KEYS, cache: false, retry: false, ...options })
    return { fetch, sent, events: recordEvents(fetch) }
  }
  const limited = (seconds: number) => new Response(null, { status: 429, headers: { 'retry-after': String(seconds) } })

  it('for limits that end at different times: each key, and every one gets its turn', async () => {
    const waits: Record<string, number> = { a: 30, b: 12, c: 50, d: 21 }
    const { fetch, sent } = pool(key => (waits[key] ? limited(waits[key]) : new Response('ok')))
    expect((await fetch(ORIGIN)).status).toBe(200)
    expect(sent).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  it('for the same limit on a second key that has not been used: what they share, and the others are spared', async () => {
    let isLimited = true
    const { fetch, sent } = pool(() => (isLimited ? limited(20) : new Response('ok')))
    const call = fetch(ORIGIN)
    await vi.advanceTimersByTimeAsync(400)
    expect(sent).toEqual(['a', 'b'])
    expect(fetch.pool.keys().map(({ state }) => state)).toEqual(['cooling', 'cooling', 'ready', 'ready', 'ready'])
    isLimited = false
    await vi.advanceTimersByTimeAsync(25_000)
    expect((await call).status).toBe(200)
    expect(sent.length).toBeLessThanOrEqual(3)
  })

  it('is tried by one request in a while: keys that are in order after all are found', async () => {
    const { fetch, sent } = pool(key => (key < 'd' ? limited(20) : new Response('ok')))
    const from = Date.now()
    const call = fetch(ORIGIN)
    await vi.advanceTimersByTimeAsync(5_000)
    expect((await call).status).toBe(200)
    expect(sent).toEqual(['a', 'b', 'c', 'd'])
    expect(Date.now() - from).toBeLessThan(20_000)
    // From then on it is known that limits are each key's own.
    await fetch(ORIGIN)
    expect(sent.at(-1)).toMatch(/d|e/)
  })

  it('for refusals that say nothing: not more than three keys at once', async () => {
    const { fetch, sent } = pool(() => new Response(null, { status: 429 }), { maxWait: 300 })
    await fetch(ORIGIN).catch(() => {})
    expect(new Set(sent).size).toBeLessThanOrEqual(3)
  })

  it('for keys that have all used their own up at once: each key', async () => {
    const counts: Record<string, number> = {}
    const { fetch, events } = pool(key => {
      counts[key] = (counts[key] ?? 0) + 1
      return counts[key] > 4 && counts[key] < 8 ? limited(1) : new Response('ok')
    })
    const calls = Promise.all(Array.from({ length: 60 }, () => fetch(ORIGIN)))
    await vi.advanceTimersByTimeAsync(30_000)
    expect((await calls).every(({ status }) => status === 200)).toBe(true)
    expect(new Set(events.of('key-exhausted').map(({ scope }) => scope))).toEqual(new Set(['key']))
  })

  it('for 401 on keys that were in order a moment ago: not the keys; the answer goes back, and they are tried soon', async () => {
    let isDown = false
    const { fetch, sent, events } = pool(() => new Response(null, { status: isDown ? 401 : 200 }))
    for (const _ of KEYS) await fetch(ORIGIN)
    isDown = true
    expect((await fetch(ORIGIN)).status).toBe(401)
    expect(sent.length - KEYS.length).toBe(2)
    for (let index = 0; index < 5; index++) expect((await fetch(ORIGIN)).status).toBe(401)
    expect(fetch.pool.keys().filter(({ state }) => state === 'disabled').length).toBeLessThanOrEqual(1)
    isDown = false
    await vi.advanceTimersByTimeAsync(2_000)
    for (const _ of KEYS) expect((await fetch(ORIGIN)).status).toBe(200)
    expect(fetch.pool.keys().map(({ state }) => state)).not.toContain('disabled')
    expect(events.of('key-recovered')).toHaveLength(events.of('key-disabled').length)
  })

  it('for 401 on keys that had worked, while others do: the keys, all the same', async () => {
    let isRevoked = false
    const { fetch, sent } = pool(key => new Response(null, { status: isRevoked && key < 'c' ? 401 : 200 }))
    for (const _ of KEYS) await fetch(ORIGIN)
    isRevoked = true
    const statuses: number[] = []
    for (let index = 0; index < 30; index++) {
      statuses.push((await fetch(ORIGIN)).status)
      await vi.advanceTimersByTimeAsync(100)
    }
    expect(statuses.filter(status => status === 401).length).toBeLessThanOrEqual(1)
    expect(fetch.pool.keys().map(({ state }) => state)).toEqual(['disabled', 'disabled', 'ready', 'ready', 'ready'])
    expect(sent.slice(-10)).not.toContain('a')
  })

  it('for many keys that end at one time: each is tried, one in a while, and nobody who waits is sent away', async () => {
    const { fetch, sent } = pool(key => (key < 'e' ? limited(600) : new Response('ok')), { maxWait: 10_000 })
    const calls = Promise.all([fetch(ORIGIN), fetch(ORIGIN)])
    await vi.advanceTimersByTimeAsync(9_000)
    expect((await calls).map(({ status }) => status)).toEqual([200, 200])
    expect(new Set(sent)).toEqual(new Set(KEYS))
  })

  it('for 401 on keys that nobody has seen working: the keys, till one is found that does', async () => {
    const { fetch, sent } = pool(key => new Response(null, { status: key === 'd' ? 200 : 401 }))
    expect((await fetch(ORIGIN)).status).toBe(200)
    expect(sent).toEqual(['a', 'b', 'c', 'd'])
  })

  it('for an overload: never a key', async () => {
    const { fetch, events } = pool(() => new Response(null, { status: 503 }))
    for (let index = 0; index < 10; index++) await fetch(ORIGIN)
    expect(events.of('key-exhausted')).toEqual([])
    expect(fetch.pool.keys().map(({ state }) => state)).toEqual(KEYS.map(() => 'ready'))
  })
})
