import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Lessons } from '../../src/learning/lessons.js'
import { createLimiter, type ResolvedLimit } from '../../src/limiter/create-limiter.js'
import type { Permit } from '../../src/limiter/limiter.js'
import { permitBooks } from '../../src/limiter/permit-book.js'
import { Transit } from '../../src/limiter/transit.js'

/** A limiter in a world of its own: a clock that the test moves, and departures at once. */
function world(limits: ResolvedLimit[]) {
  const time = { now: 1_000_000 }
  const limiter = createLimiter(
    limits,
    permitBooks(),
    {
      now: () => time.now,
      wallNow: () => time.now,
      transit: new Transit(),
      depart: departing => departing.departed(time.now),
      changed() {},
    },
    new Lessons(),
  )
  return { limiter, time }
}

const ONE = () => 1
/** The longest that a request is on its way to the server, in milliseconds; less than the limiter allows for. */
const TRANSIT = 3

const windowLimit = fc.record({ limit: fc.integer({ min: 1, max: 12 }), per: fc.integer({ min: 200, max: 5_000 }) })
const arrivals = fc.array(
  fc.record({
    gap: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 400 })),
    transit: fc.integer({ min: 0, max: TRANSIT }),
    /** From arrival to answer; long ones are found out by time. */
    thinking: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 1_000, max: 20_000 })),
    end: fc.constantFrom('answered' as const, 'aborted' as const, 'never sent' as const),
  }),
  { minLength: 1, maxLength: 60 },
)

/** Runs arrivals through a limiter, each as early as it lets them, and gives the times at which the server counted them. */
function play(
  limits: ResolvedLimit[],
  requests: { gap: number; transit: number; thinking: number; end: 'answered' | 'aborted' | 'never sent' }[],
) {
  const { limiter, time } = world(limits)
  const counted: number[] = []
  const events: { at: number; act: () => void }[] = []
  const runTo = (until: number) => {
    for (;;) {
      events.sort((a, b) => a.at - b.at)
      const next = events[0]
      if (!next || next.at > until) break
      events.shift()
      time.now = Math.max(time.now, next.at)
      next.act()
    }
    time.now = Math.max(time.now, until)
  }
  let served = 0
  for (const { gap, transit, thinking, end } of requests) {
    runTo(time.now + gap)
    let permit: Permit | undefined
    for (let tries = 0; !permit; tries++) {
      expect(tries).toBeLessThan(5_000)
      permit = limiter.tryAcquire(ONE, time.now)
      if (permit) break
      const at = limiter.availableAt(ONE, time.now)
      const event = events[0]?.at ?? Number.POSITIVE_INFINITY
      const next = Math.min(at, event)
      // Something must be coming: time, or the end of a running request.
      expect(Number.isFinite(next)).toBe(true)
      runTo(Math.max(next, time.now))
    }
    served++
    const held = permit
    if (end === 'never sent') {
      held.undo()
      continue
    }
    held.leaves()
    counted.push(time.now + transit)
    const overAt = time.now + transit + thinking
    events.push({
      at: overAt,
      act: () => {
        if (end === 'answered') held.answered()
        held.end()
      },
    })
  }
  runTo(time.now + 1_000_000)
  return { counted: counted.sort((a, b) => a - b), limiter, time, served }
}

describe('whatever the order of arrivals, answers and aborts', () => {
  it('a sliding window is never exceeded as the server counts', () => {
    fc.assert(
      fc.property(windowLimit, arrivals, ({ limit, per }, requests) => {
        const { counted, served } = play(
          [{ kind: 'window', unit: 'requests', limit, per, burst: undefined, cost: undefined }],
          requests,
        )
        expect(served).toBe(requests.length)
        counted.forEach((at, index) => {
          const later = counted[index + limit]
          if (later !== undefined) expect(later - at).toBeGreaterThanOrEqual(per)
        })
      }),
      { numRuns: 300 },
    )
  })

  it('a bucket is never overdrawn as the server counts', () => {
    const bucket = fc.record({
      limit: fc.integer({ min: 1, max: 20 }),
      per: fc.integer({ min: 400, max: 4_000 }),
      burst: fc.integer({ min: 1, max: 10 }),
    })
    fc.assert(
      fc.property(bucket, arrivals, ({ limit, per, burst }, requests) => {
        const { counted } = play([{ kind: 'window', unit: 'requests', limit, per, burst, cost: undefined }], requests)
        let level = burst
        let last = counted[0] ?? 0
        for (const at of counted) {
          level = Math.min(burst, level + ((at - last) * limit) / per)
          last = at
          level -= 1
          expect(level).toBeGreaterThan(-1e-6)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('no more than so many run at once, and no permit is leaked', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), windowLimit, arrivals, (concurrency, { limit, per }, requests) => {
        const limits: ResolvedLimit[] = [
          { kind: 'concurrency', limit: concurrency },
          { kind: 'window', unit: 'requests', limit, per, burst: undefined, cost: undefined },
        ]
        const { limiter, time } = play(limits, requests)
        expect(limiter.availableAt(ONE, time.now)).toBe(time.now)
        expect(limiter.read(time.now).map(({ remaining }) => remaining)).toEqual([concurrency, limit])
      }),
      { numRuns: 200 },
    )
  })

  it('ending a permit twice, or undoing it afterwards, changes nothing', () => {
    const { limiter, time } = world([
      { kind: 'concurrency', limit: 1 },
      { kind: 'window', unit: 'requests', limit: 3, per: 1000, burst: undefined, cost: undefined },
    ])
    const permit = limiter.tryAcquire(ONE, time.now)!
    permit.leaves()
    permit.answered()
    permit.answered()
    permit.end()
    permit.end()
    permit.undo()
    expect(limiter.read(time.now).map(({ remaining }) => remaining)).toEqual([1, 2])
  })
})

describe('a calendar window', () => {
  it('counts what is on its way at midnight into the new day too', () => {
    const { limiter, time } = world([
      { kind: 'calendar', unit: 'requests', limit: 2, per: 'day', timeZone: 'UTC', cost: undefined },
    ])
    time.now = Date.UTC(2026, 0, 1, 23, 59, 59, 990)
    limiter.availableAt(ONE, time.now)
    const late = limiter.tryAcquire(ONE, time.now)!
    late.leaves()
    time.now = Date.UTC(2026, 0, 2, 0, 0, 0, 5)
    expect(limiter.read(time.now)[0]!.remaining).toBe(1)
  })
})
