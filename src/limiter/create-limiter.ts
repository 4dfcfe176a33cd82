import type { CalendarPeriod } from '../calendar.js'
import { Learner } from '../learning/learner.js'
import type { Lessons } from '../learning/lessons.js'
import { CalendarWindow } from './calendar-window.js'
import { Concurrency } from './concurrency.js'
import { Limiter, type LimiterHost } from './limiter.js'
import type { SharedMeter } from './meter.js'
import type { OpenBook } from './permit-book.js'
import { SlidingWindow } from './sliding-window.js'
import { TokenBucket } from './token-bucket.js'

/** One of the user's limits, resolved: a window of one unit, or a bound on requests at once. */
export type ResolvedLimit =
  | { readonly kind: 'concurrency'; readonly limit: number }
  | {
      readonly kind: 'window'
      readonly unit: 'requests' | 'tokens'
      readonly limit: number
      readonly per: number
      readonly burst: number | undefined
      readonly cost: ((request: Request) => number) | undefined
      readonly settles?: boolean | undefined
    }
  | {
      readonly kind: 'calendar'
      readonly unit: 'requests' | 'tokens'
      readonly limit: number
      readonly per: CalendarPeriod
      readonly timeZone: string
      readonly cost: ((request: Request) => number) | undefined
      readonly settles?: boolean | undefined
    }

/** A limiter for one quota. @param known - whether there is nothing to find out by beginning gently */
export function createLimiter(
  limits: readonly ResolvedLimit[],
  openBook: OpenBook,
  host: LimiterHost,
  lessons: Lessons,
  known = limits.length > 0,
): Limiter {
  const declared = limits.map(limit => createMeter(limit, openBook, host))
  return new Limiter(declared, host, changed => new Learner(openBook, lessons, known, changed))
}

function createMeter(limit: ResolvedLimit, openBook: OpenBook, host: LimiterHost): SharedMeter {
  switch (limit.kind) {
    case 'concurrency':
      return new Concurrency(openBook, limit.limit)
    case 'calendar':
      return new CalendarWindow(openBook, limit, limit.timeZone, () => host.wallNow())
    case 'window':
      return limit.burst === undefined
        ? new SlidingWindow(openBook, limit)
        : new TokenBucket(openBook, limit, limit.burst, host.now())
  }
}
