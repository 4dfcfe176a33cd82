import { type KeyInput, wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const ORIGIN = 'http://api.test'
const GOOD = 'http://good.test'
const BAD = 'http://bad.test'

type Way = [name: string, fail: () => Response | Promise<never>, most: number]
const refused = () =>
  Promise.reject(new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code: 'ECONNREFUSED' }) }))
const reset = () =>
  Promise.reject(new TypeError('fetch failed', { cause: Object.assign(new Error('x'), { code: 'ECONNRESET' }) }))
const broken = () => new Response('', { status: 500 })

describe('an endpoint of its own', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  function pool(
    fail: Way[1],
    keys: KeyInput[] = [
      { value: 'good', baseUrl: GOOD },
      { value: 'bad', baseUrl: BAD },
    ],
  ) {
    const state = { isDown: true, sent: [] as string[] }
    const base = async (input: unknown) => {
      const { origin } = new URL(String(input))
      state.sent.push(origin)
      if (origin === BAD && state.isDown) return fail()
      await new Promise(resolve => setTimeout(resolve, 60))
      return new Response('ok')
    }
    const fetch = wrapFetch(base as never, {
      origins: ORIGIN,
      keys,
      cache: false,
      retry: { minDelay: 20 },
      maxWait: '5s',
    })
    return { state, fetch }
  }

  /** Three callers, fifteen calls each. @returns how many of them failed */
  async function use(fetch: typeof globalThis.fetch, init: RequestInit): Promise<number> {
    let failed = 0
    const callers = [1, 2, 3].map(async () => {
      for (let call = 0; call < 15; call++) {
        const response = await fetch(`${ORIGIN}/x`, init).catch(() => undefined)
        if (!response?.ok) failed++
      }
    })
    await Promise.all([...callers, vi.advanceTimersByTimeAsync(5_000)])
    return failed
  }

  it.each<Way>([
    ['refuses connections', refused, 0],
    ['breaks them off', reset, 3],
    ['answers with errors at once', broken, 3],
  ])('that %s rests: few calls go there, and few fail', async (_, fail, most) => {
    for (const init of [{}, { method: 'POST', body: '{}' }]) {
      const { state, fetch } = pool(fail)
      expect(await use(fetch, init)).toBeLessThanOrEqual(most)
      expect(state.sent.filter(origin => origin === BAD).length).toBeLessThanOrEqual(8)
    }
  })

  it('is tried by one request at a time, after ever longer rests, and comes back with the first that passes', async () => {
    const { state, fetch } = pool(refused)
    const seconds: number[] = []
    for (let second = 0; second < 40; second++) {
      const before = state.sent.length
      await Promise.all([fetch(`${ORIGIN}/x`), fetch(`${ORIGIN}/y`), vi.advanceTimersByTimeAsync(1_000)])
      const tries = state.sent.slice(before).filter(origin => origin === BAD).length
      expect(tries).toBeLessThanOrEqual(1)
      if (tries > 0) seconds.push(second)
    }
    const gaps = seconds.slice(1).map((second, index) => second - seconds[index]!)
    expect(gaps).toEqual([...gaps].sort((a, b) => a - b))
    expect(gaps.at(-1)).toBeGreaterThanOrEqual(8)
    state.isDown = false
    await vi.advanceTimersByTimeAsync(60_000)
    state.sent.length = 0
    for (let call = 0; call < 6; call++) await Promise.all([fetch(`${ORIGIN}/x`), vi.advanceTimersByTimeAsync(100)])
    expect(state.sent.filter(origin => origin === BAD).length).toBeGreaterThanOrEqual(2)
  })

  it('never rests where there is no other to go to', async () => {
    const { state, fetch } = pool(refused, [
      { value: 'one', baseUrl: BAD },
      { value: 'two', baseUrl: BAD },
    ])
    const call = fetch(`${ORIGIN}/x`, { method: 'POST', body: '{}' }).catch(error => error)
    await vi.advanceTimersByTimeAsync(10)
    expect(await call).toBeInstanceOf(TypeError)
    state.isDown = false
    const second = fetch(`${ORIGIN}/x`, { method: 'POST', body: '{}' })
    await vi.advanceTimersByTimeAsync(100)
    expect((await second).status).toBe(200)
  })

  it('a second try is made with another key', async () => {
    const used: string[] = []
    const base = async (_: unknown, { headers }: RequestInit = {}) => {
      used.push(new Headers(headers).get('authorization')!)
      return used.length === 1 ? new Response('', { status: 503 }) : new Response('ok')
    }
    const options = { origins: ORIGIN, keys: ['one', 'two', 'three'], strategy: 'fill-first', cache: false } as const
    const fetch = wrapFetch(base as never, { ...options, retry: { minDelay: 1 } })
    const call = fetch(ORIGIN)
    await vi.advanceTimersByTimeAsync(100)
    expect((await call).status).toBe(200)
    expect(used).toEqual(['Bearer one', 'Bearer two'])
  })
})
