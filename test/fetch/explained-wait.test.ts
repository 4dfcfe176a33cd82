import { type Options, wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const ORIGIN = 'https://api.example.com'

interface Case {
  readonly options: Partial<Options>
  /** How many calls stand before the one that is explained. */
  readonly before: number
  /** How long an answer takes, in milliseconds. */
  readonly takes?: number
  /** Some milliseconds between the calls before and the explanation. */
  readonly after?: number
  readonly answer?: (key: string, count: number) => Response | undefined
  readonly init?: RequestInit
  /** Whether the first call is alone for a moment. */
  readonly firstAlone?: boolean
}

const CASES: Record<string, Case> = {
  'a window': { options: { limits: { requests: 10, per: '1s' } }, before: 35 },
  'a window, half a window later': { options: { limits: { requests: 10, per: '10s' } }, before: 35, after: 5_000 },
  'a window and slow answers': { options: { limits: { requests: 10, per: '2s' } }, before: 45, takes: 400 },
  'a bucket': { options: { limits: { requests: 5, per: '1s', burst: 3 } }, before: 25 },
  'a long line': { options: { limits: { requests: 100, per: '1s' }, maxWait: '10m' }, before: 3_000 },
  'several windows': {
    options: {
      limits: [
        { requests: 5, per: '1s' },
        { requests: 20, per: '20s' },
      ],
    },
    before: 50,
  },
  'several keys': { options: { keys: ['a', 'b', 'c'], limits: { requests: 5, per: '1s' } }, before: 80 },
  'keys of different size': {
    options: {
      keys: [
        { value: 'a', limits: { requests: 2, per: '1s' } },
        { value: 'b', limits: { requests: 20, per: '5s' } },
      ],
    },
    before: 60,
  },
  'keys of one group': {
    options: {
      keys: [
        { value: 'a', group: 'one' },
        { value: 'b', group: 'one' },
      ],
      limits: { requests: 5, per: '1s' },
    },
    before: 40,
  },
  'requests at once': { options: { limits: { concurrency: 4 } }, before: 30, takes: 800, after: 1_000 },
  'one request at once': { options: { limits: { concurrency: 1 } }, before: 6, takes: 500, after: 600 },
  'requests at once and a window': {
    options: { limits: [{ concurrency: 3 }, { requests: 4, per: '1s' }] },
    before: 30,
    takes: 300,
    after: 400,
  },
  tokens: {
    options: { limits: { tokens: 1_000, per: '2s', cost: () => 100, settle: false }, maxWait: '10m' },
    before: 47,
  },
  'a day of the calendar': {
    options: { limits: { requests: 5, per: 'day', timeZone: 'UTC' }, maxWait: '48h' },
    before: 8,
  },
  'a cooldown': {
    firstAlone: true,
    options: { keys: ['a', 'b'], limits: { requests: 5, per: '1s' } },
    before: 30,
    answer: (_, count) =>
      count <= 2
        ? Response.json({ error: { code: 'insufficient_quota' } }, { status: 402, headers: { 'retry-after': '20' } })
        : undefined,
  },
  'models of their own': {
    options: { scope: 'model', limits: { requests: 4, per: '2s' } },
    before: 30,
    init: { method: 'POST', body: '{"model":"a"}', headers: { 'content-type': 'application/json' } },
  },
}

describe('the wait that explain() tells', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  it.each(Object.entries(CASES))('is within a quarter of what then happens, behind a line: %s', async (_, each) => {
    const { options, before, takes = 20, after = 100, answer, init = {} } = each
    let sent = 0
    const network: typeof globalThis.fetch = async (_, init) => {
      const key = new Headers(init?.headers).get('authorization')!
      const count = ++sent
      await new Promise(resolve => setTimeout(resolve, takes))
      return answer?.(key, count) ?? new Response('{}')
    }
    const fetch = wrapFetch(network, {
      ...{ origins: ORIGIN, keys: ['a'], cache: false, retry: false, maxWait: '5m' },
      ...options,
    })
    const first = fetch(`${ORIGIN}/first`, init)
    if (each.firstAlone) await vi.advanceTimersByTimeAsync(200)
    const others = Array.from({ length: before - 1 }, (_, index) => fetch(`${ORIGIN}/${index}`, init))
    const calls = [first, ...others]
    for (let step = 0; step < 20; step++) await vi.advanceTimersByTimeAsync(after / 20)
    const { outcome, wait, why } = await fetch.explain(`${ORIGIN}/last`, init)
    expect(outcome).toBe('wait')
    const from = Date.now()
    let waited = 0
    fetch.pool.on('request-finished', ({ url, waited: milliseconds }) => {
      if (url.endsWith('/last')) waited = milliseconds
    })
    const last = fetch(`${ORIGIN}/last`, init)
    const done = Promise.all([...calls, last]).then(() => 'done')
    let state: unknown
    void done.then(result => {
      state = result
    })
    while (state === undefined && Date.now() - from < 86_400_000 * 2) {
      await vi.advanceTimersByTimeAsync(wait! > 3_600_000 ? 60_000 : 50)
    }
    await done
    expect(waited).toBeGreaterThan(0)
    expect(wait! / waited, `${why} It waited ${waited} ms.`).toBeGreaterThan(0.8)
    expect(wait! / waited, `${why} It waited ${waited} ms.`).toBeLessThan(1.25)
  })
})
