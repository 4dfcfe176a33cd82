import { wrapFetch } from 'fetch-keypool'
import { afterEach, describe, expect, it } from 'vitest'
import type { ProviderKey, ProviderSettings } from '../../examples/demo/provider.js'
import { type RunningProvider, startProvider } from '../../examples/demo/start-provider.js'

const KEYS = ['key-aaaa', 'key-bbbb', 'key-cccc', 'key-dddd']
const COUNT = 1000

let provider: RunningProvider | undefined
afterEach(() => provider?.stop())

async function start(limits: ProviderKey, others: Partial<ProviderSettings> = {}) {
  provider = await startProvider({ keys: Object.fromEntries(KEYS.map(key => [key, limits])), ...others })
  return provider
}

async function ask(fetch: typeof globalThis.fetch, url: string, count = COUNT) {
  const from = performance.now()
  const responses = await Promise.all(Array.from({ length: count }, (_, index) => fetch(`${url}/${index}`)))
  const took = performance.now() - from
  expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]))
  return took
}

async function counts(running: RunningProvider) {
  const stats = Object.values(await running.stats())
  return { served: stats.map(({ served }) => served), refused: stats.reduce((sum, { refused }) => sum + refused, 0) }
}

describe('declared limits, against a server that enforces them', { retry: 2 }, () => {
  it.each([
    ['buckets of 50/s with burst 10', { requests: 50, per: 1000, burst: 10 }, 5, (COUNT / 4 - 10) / 50],
    ['40 in any second', { requests: 40, per: 1000 }, 5, Math.ceil(COUNT / 160) - 1],
    ['40 in any second, with slow answers', { requests: 40, per: 1000 }, 4_000, Math.ceil(COUNT / 160) - 1 + 4],
  ])('of %s are used in full and not exceeded', async (_, limits, latency, least) => {
    const running = await start(limits, { latency })
    const fetch = wrapFetch(globalThis.fetch, { origins: running.url, keys: KEYS, limits, cache: false })
    const took = await ask(fetch, running.url)
    const { refused, served } = await counts(running)
    expect(served.reduce((sum, each) => sum + each)).toBe(COUNT)
    // A ratio, with room for a machine that is busy with other tests; bench/ says how near it comes.
    expect((least * 1000) / took).toBeGreaterThan(0.6)
    expect(refused).toBeLessThanOrEqual(COUNT * 0.005)
  })

  it('of concurrency are never exceeded, even if nobody reads the bodies', async () => {
    const running = await start({ concurrency: 5 }, { latency: [5, 30] })
    const fetch = wrapFetch(globalThis.fetch, {
      origins: running.url,
      keys: KEYS,
      limits: { concurrency: 5 },
      cache: false,
    })
    await ask(fetch, running.url, 400)
    const stats = Object.values(await running.stats())
    expect(stats.map(({ peak }) => peak)).toEqual([5, 5, 5, 5])
    expect(stats.map(({ refused }) => refused)).toEqual([0, 0, 0, 0])
  })
})

describe('with one key dead and one out of quota', { retry: 2 }, () => {
  it('no request fails, and none goes to either once its first refusal has arrived', async () => {
    const limits = { requests: 60, per: 1000, burst: 20 }
    const running = await startProvider({
      keys: {
        'key-aaaa': limits,
        'key-bbbb': limits,
        'key-cccc': { ...limits, quota: 40 },
        'key-dddd': { dead: true },
      },
      latency: 10,
    })
    provider = running
    const fetch = wrapFetch(globalThis.fetch, { origins: running.url, keys: KEYS, limits, cache: false })
    const refusedAt: Record<string, number> = {}
    const sentAfter: string[] = []
    fetch.pool.on('key-exhausted', ({ keyId }) => {
      refusedAt[keyId] = performance.now()
    })
    fetch.pool.on('key-disabled', ({ keyId }) => {
      refusedAt[keyId] = performance.now()
    })
    const attemptsAt = new Map<string, number>()
    const check = setInterval(() => {
      const { keys } = fetch.pool.stats()
      for (const id of Object.keys(refusedAt)) {
        const { attempts } = keys[id]!
        const before = attemptsAt.get(id)
        if (before !== undefined && attempts > before) sentAfter.push(id)
        attemptsAt.set(id, attempts)
      }
    }, 5)
    await ask(fetch, running.url, 600)
    clearInterval(check)
    expect(Object.keys(refusedAt).sort()).toEqual(['key-3', 'key-4'])
    expect(sentAfter).toEqual([])
    expect(fetch.pool.keys().map(({ state, cause }) => [state, cause])).toEqual([
      [expect.stringMatching(/ready|busy/), null],
      [expect.stringMatching(/ready|busy/), null],
      ['cooling', 'quota'],
      ['disabled', 'invalid-key'],
    ])
  })
})
