import { wrapFetch } from 'fetch-keypool'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { Limiter } from '../../src/limiter/limiter.js'

const ORIGIN = 'https://api.example.com'

afterEach(() => void vi.restoreAllMocks())

describe('a pool of 10,000 keys', () => {
  it.each(['least-loaded', 'round-robin', 'weighted', 'fill-first', 'random'] as const)(
    'chooses by %s without looking at them all',
    async strategy => {
      const keys = Array.from({ length: 10_000 }, (_, index) => ({ value: `key-${index}`, weight: 1 + (index % 3) }))
      const fetch = wrapFetch(async () => new Response('ok'), {
        origins: ORIGIN,
        keys,
        strategy,
        limits: { requests: 2, per: '1h' },
        cache: false,
      })
      const looks = vi.spyOn(Limiter.prototype, 'availableAt')
      const calls = 500
      for (let index = 0; index < calls; index++) await fetch(ORIGIN)
      expect(looks.mock.calls.length / calls).toBeLessThan(20)
      await fetch.close()
    },
  )
})
