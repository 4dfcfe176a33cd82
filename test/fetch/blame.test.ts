import { type Options, wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { recordEvents } from '../helpers/events.js'

const ORIGIN = 'https://api.example.com'
const KEYS = ['a', 'b', 'c', 'd', 'e']

describe('who is to blame', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  function pool(answer: (key: string, url: string) => Response, options: Partial<Options> = {}) {
    const sent: string[] = []
    const network: typeof globalThis.fetch = async (input, init) => {
      const key = new Headers(init?.headers).get('authorization')!.slice('Bearer '.length)
      sent.push(key)
      return answer(key, String(input))
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

  it('for the same limit on a second key that has not been used: what they share; the others are asked once each, and then spared', async () => {
    let isLimited = true
    const { fetch, sent } = pool(() => (isLimited ? limited(20) : new Response('ok')))
    const call = fetch(ORIGIN)
    await vi.advanceTimersByTimeAsync(400)
    expect(sent).toEqual(['a', 'b', 'c', 'd', 'e'])
    isLimited = false
    await vi.advanceTimersByTimeAsync(25_000)
    expect((await call).status).toBe(200)
    expect(sent.length).toBeLessThanOrEqual(6)
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

  it('for refusals that say nothing: each key once, and then hardly any', async () => {
    const { fetch, sent } = pool(() => new Response(null, { status: 429 }), { maxWait: 300 })
    const call = fetch(ORIGIN).catch(() => {})
    await vi.advanceTimersByTimeAsync(400)
    await call
    expect([...new Set(sent)]).toEqual([...KEYS])
    expect(sent.length).toBeLessThanOrEqual(8)
  })

  it.each([0, 1, 42, 99])(
    'for keys that rest alike: the one free key is found in a moment, as number %i of a hundred',
    async place => {
      const keys = Array.from({ length: 100 }, (_, index) => `key-number-${index}`)
      for (const answer of [limited(60), new Response(null, { status: 429 })]) {
        const { fetch } = pool(key => (key === keys[place] ? new Response('ok') : answer.clone()), {
          maxWait: 500,
          keys,
        })
        const from = Date.now()
        const call = fetch(ORIGIN)
        await vi.advanceTimersByTimeAsync(600)
        expect((await call).status).toBe(200)
        expect(fetch.pool.stats().waits.max).toBeLessThanOrEqual(260)
        expect(Date.now() - from).toBe(600)
      }
    },
  )

  it.each([10, 40])(
    'for an address that is limited: of %i keys hardly one is sent while its trials are refused',
    async count => {
      let isLimited = true
      const at: number[] = []
      const keys = Array.from({ length: count }, (_, index) => `key-number-${index}`)
      const { fetch } = pool(
        () => {
          at.push(Date.now())
          return isLimited ? new Response(null, { status: 429 }) : new Response('ok')
        },
        { maxWait: 12_000, keys },
      )
      const from = Date.now()
      const calls = Promise.all(Array.from({ length: 60 }, () => fetch(ORIGIN)))
      await vi.advanceTimersByTimeAsync(4_000)
      isLimited = false
      await vi.advanceTimersByTimeAsync(8_000)
      expect((await calls).every(({ status }) => status === 200)).toBe(true)
      expect(at.filter(each => each - from > 1_000 && each - from < 4_000).length).toBeLessThanOrEqual(20)
    },
  )

  it('for one call that nobody lets pass, nor says for how long: a bounded number of sendings', async () => {
    const { fetch, sent } = pool(() => new Response(null, { status: 429 }), { keys: ['a', 'b', 'c'] })
    const call = fetch(ORIGIN).catch(error => error.code)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(await call).toBe('ERR_POOL_EXHAUSTED')
    expect(sent.length).toBeLessThanOrEqual(15)
  })

  it.each(['fill-first', 'least-loaded', 'round-robin', 'random'] as const)(
    'for two of three keys that are revoked at one time: they are, under %s',
    async strategy => {
      let isRevoked = false
      const answer = (key: string) => new Response(null, { status: isRevoked && key !== 'c' ? 401 : 200 })
      const { fetch } = pool(answer, { keys: ['a', 'b', 'c'], strategy })
      await Promise.all(Array.from({ length: 9 }, () => fetch(ORIGIN)))
      for (const id of ['key-1', 'key-2']) {
        fetch.pool.disable(id)
        await fetch(ORIGIN)
      }
      for (const id of ['key-1', 'key-2']) fetch.pool.enable(id)
      isRevoked = true
      for (let call = 0; call < 20; call++) {
        expect((await fetch(ORIGIN)).status).toBe(200)
        await vi.advanceTimersByTimeAsync(250)
      }
    },
  )

  it.each([
    ['that had worked', true],
    ['that nobody has seen working', false],
  ])('for one path that is closed to all keys %s: other paths go on with them', async (_, hasWorked) => {
    const { fetch } = pool((_, url) => new Response(null, { status: url.endsWith('/closed') ? 401 : 200 }), {
      maxWait: 2_000,
    })
    if (hasWorked) for (const _ of KEYS) await fetch(`${ORIGIN}/open`)
    for (let call = 0; call < 3; call++) await fetch(`${ORIGIN}/closed`).catch(() => {})
    await vi.advanceTimersByTimeAsync(1_500)
    for (let call = 0; call < 5; call++) expect((await fetch(`${ORIGIN}/open`)).status).toBe(200)
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
    // Each of them is asked once before it is not believed of all.
    expect(sent.length - KEYS.length).toBe(KEYS.length)
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
