import { wrapFetch } from 'fetch-keypool'
import { afterEach, describe, expect, it } from 'vitest'
import type { Dialect } from '../../examples/demo/dialects.js'
import type { ProviderKey } from '../../examples/demo/provider.js'
import { type RunningProvider, startProvider } from '../../examples/demo/start-provider.js'

const KEYS = ['key-aaaa', 'key-bbbb', 'key-cccc', 'key-dddd']

let provider: RunningProvider | undefined
afterEach(() => provider?.stop())

const even = (limits: ProviderKey) => KEYS.map(() => limits)
const uneven = (limits: ProviderKey) => [20, 40, 60, 80].map(requests => ({ ...limits, requests, per: 1000 }))

/** What the quotas allow in a second, all keys together. */
const rateOf = (limits: ProviderKey[]) => limits.reduce((sum, { requests, per }) => sum + (requests! / per!) * 1000, 0)

// In real time: a machine that stands still in the middle of it gets a second try.
describe('limits that nobody declared, against a server that enforces them', { retry: 2 }, () => {
  it.each<[what: string, dialect: Dialect, limits: ProviderKey[], count: number, pace: number, refused: number]>([
    ['buckets, told by retry-after-ms', 'retry-after-ms', even({ requests: 50, per: 1000, burst: 10 }), 1000, 0.6, 100],
    ['fixed windows, told by the IETF’s fields', 'ietf', even({ requests: 40, per: 1000, fixed: true }), 800, 0.6, 100],
    ['sliding windows, told by OpenAI’s fields', 'openai', even({ requests: 40, per: 1000 }), 800, 0.6, 100],
    ['fixed windows, told by GitHub’s fields', 'github', even({ requests: 80, per: 2000, fixed: true }), 800, 0.6, 100],
    ['uneven buckets, told by nothing but 429', 'bare', uneven({ burst: 10 }), 1000, 0.5, 200],
    ['uneven windows, told by nothing but 429', 'bare', uneven({}), 1000, 0.5, 200],
  ])('%s: found, used, and hardly exceeded', async (_, dialect, limits, count, pace, most) => {
    const keys = Object.fromEntries(KEYS.map((key, index) => [key, limits[index]!]))
    const running = await startProvider({ keys, dialect, latency: 5 })
    provider = running
    const fetch = wrapFetch(globalThis.fetch, { origins: running.url, keys: KEYS, cache: false })
    const from = performance.now()
    const responses = await Promise.all(Array.from({ length: count }, (_, index) => fetch(`${running.url}/${index}`)))
    const took = performance.now() - from
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]))
    const stats = Object.values(await running.stats())
    const refused = stats.reduce((sum, each) => sum + each.refused, 0)
    // A ratio, with room for a machine that is busy with other tests; bench/ says how near it comes on a quiet machine.
    expect(count / (took / 1000) / rateOf(limits)).toBeGreaterThan(pace)
    expect((refused / count) * 1000).toBeLessThanOrEqual(most)
  })
})
