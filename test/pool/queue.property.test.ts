import fc from 'fast-check'
import { wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const call = fc.record({
  at: fc.integer({ min: 0, max: 3_000 }),
  latency: fc.integer({ min: 0, max: 400 }),
  abortAfter: fc.option(fc.integer({ min: 0, max: 1_000 })),
  priority: fc.constantFrom('high' as const, 'auto' as const, 'low' as const),
})

describe('the line of a pool, whatever the order of arrivals, answers and aborts', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('loses nobody, serves nobody twice, and keeps the order among equals', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 40 }), async calls => {
        const sent: number[] = []
        const fetch = (async (input: string, init: RequestInit) => {
          const index = Number(new URL(input).pathname.slice(1))
          sent.push(index)
          await new Promise<void>((resolve, reject) => {
            setTimeout(resolve, calls[index]!.latency)
            init.signal?.addEventListener('abort', () => reject(init.signal!.reason))
          })
          return new Response('ok')
        }) as typeof globalThis.fetch
        const pooled = wrapFetch(fetch, {
          origins: 'https://a.example',
          keys: ['a', 'b'],
          limits: [{ requests: 3, per: 500 }, { concurrency: 2 }],
          cache: false,
          maxWait: '1d',
        })
        const joined: number[] = []
        const outcomes = calls.map(async ({ at, abortAfter, priority }, index) => {
          await new Promise(resolve => setTimeout(resolve, at))
          joined.push(index)
          const controller = new AbortController()
          if (abortAfter !== null) setTimeout(() => controller.abort(`abort ${index}`), abortAfter)
          try {
            const response = await pooled(`https://a.example/${index}`, { signal: controller.signal, priority })
            await response.text()
            return 'answered'
          } catch (reason) {
            expect(reason).toBe(`abort ${index}`)
            return 'aborted'
          }
        })
        const settled = Promise.all(outcomes)
        await vi.runAllTimersAsync()
        const results = await settled
        expect(new Set(sent).size).toBe(sent.length)
        results.forEach((result, index) => {
          if (result === 'answered') expect(sent).toContain(index)
          else expect(calls[index]!.abortAfter).not.toBeNull()
        })
        for (const priority of ['high', 'auto', 'low']) {
          const equals = (indices: number[]) => indices.filter(index => calls[index]!.priority === priority)
          const order = equals(joined).filter(index => sent.includes(index))
          expect(equals(sent)).toEqual(order)
        }
        expect(pooled.pool.stats()).toMatchObject({ waiting: 0, inFlight: 0 })
        vi.advanceTimersByTime(2_000)
        for (const key of pooled.pool.keys()) expect(key).toMatchObject({ state: 'ready', remaining: 3, inFlight: 0 })
        expect(vi.getTimerCount()).toBe(0)
      }),
      { numRuns: 80 },
    )
  })
})
