import Bottleneck from 'bottleneck'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { permitBooks } from '../../src/limiter/permit-book.js'

/** What the stock limiter has on its book. */
function bookOf(limiter: Bottleneck) {
  const { _store } = limiter as unknown as {
    _store: { _running: number; _done: number; storeOptions: { reservoir: number | null } }
  }
  return { running: _store._running, done: _store._done, reservoir: _store.storeOptions.reservoir }
}

describe('a book of permits, beside the stock schedule of Bottleneck', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('admits the same jobs and keeps the same accounts, whatever the order of arrivals and ends', async () => {
    const action = fc.oneof(
      fc.record({ kind: fc.constant('arrive' as const), weight: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ kind: fc.constant('end' as const), which: fc.nat({ max: 5 }) }),
      fc.record({ kind: fc.constant('refill' as const), by: fc.integer({ min: 1, max: 4 }) }),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.option(fc.integer({ min: 1, max: 8 })),
        fc.option(fc.integer({ min: 3, max: 5 })),
        fc.array(action, { maxLength: 25 }),
        async (reservoir, maxConcurrent, actions) => {
          const stock = new Bottleneck({ reservoir, maxConcurrent })
          const book = permitBooks()({ reservoir, maxConcurrent })
          const running: { weight: number; end: () => void }[] = []
          let done = 0
          for (const step of actions) {
            if (step.kind === 'arrive') {
              // What the stock limiter can't run at once it keeps: ask before, as the book does.
              let started = false
              const check = stock.check(step.weight)
              await vi.runAllTimersAsync()
              if (await check) {
                void stock.schedule(
                  { weight: step.weight },
                  () =>
                    new Promise<void>(end => {
                      started = true
                      running.push({ weight: step.weight, end })
                    }),
                )
                await vi.runAllTimersAsync()
              }
              expect(book.admit(step.weight, Date.now())).toBe(started)
            } else if (step.kind === 'end' && running.length > 0) {
              const [job] = running.splice(step.which % running.length, 1)
              job!.end()
              await vi.runAllTimersAsync()
              book.free(job!.weight)
              done += job!.weight
            } else if (step.kind === 'refill' && reservoir !== null) {
              void stock.incrementReservoir(step.by)
              await vi.runAllTimersAsync()
              book.reservoir += step.by
            }
            const expected = bookOf(stock)
            expect({
              running: book.running,
              reservoir: Number.isFinite(book.reservoir) ? book.reservoir : null,
              done,
            }).toEqual(expected)
          }
        },
      ),
      { numRuns: 60 },
    )
  })
})
