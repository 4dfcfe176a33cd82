import type { CalendarPeriod } from '../calendar.js'
/**
 * One limit of one quota, counting one thing.
 *
 * A server counts a request when it arrives, the client when it leaves. So a meter is told three things: that a request
 * leaves (`take`), by when the server must have counted it (`confirm`), and that it is over (`end`). In between, it is
 * held against the limit as if it could arrive at any moment.
 */
export interface Meter {
  readonly unit: 'requests' | 'tokens' | 'concurrency'
  readonly limit: number
  /** The window in milliseconds; `undefined` where the limit has none. */
  readonly per: number | CalendarPeriod | undefined
  /** What a request weighs in tokens, where the user says it. */
  readonly cost: ((request: Request) => number) | undefined
  /** `false`: what responses say of tokens is of another unit. */
  readonly settles?: boolean | undefined
  /** The largest weight that can ever be admitted. */
  readonly capacity: number
  /**
   * From when `weight` may pass: `now` if at once; else a moment that is never later than the true one, at which to ask
   * again; `Infinity` if only the end of a running request can make room.
   *
   * @param nextConfirm - by when the oldest request that is not yet confirmed will be
   */
  availableAt(weight: number, now: number, nextConfirm: number): number
  /** What a request weighs, where the meter knows it better than the user. */
  weightOf?(): number
  /** Books `weight`; only when it is available. */
  take(weight: number, now: number): void
  /** The server has counted it, at `at` at the latest. */
  confirm(weight: number, at: number): void
  /** What it really weighed is known: `actual`, where `reserved` was booked, and the server counted it at `at`. */
  settle?(reserved: number, actual: number, at: number, now: number): void
  /** It was never sent. */
  undo(weight: number, now: number): void
  /** Its response is over, so many milliseconds after `take`. */
  end(weight: number, heldFor: number): void
  /**
   * How much it will have let pass from `now` until a moment after that, if that much is asked for: as far as can be told.
   *
   * @param lag - how long it takes on average until the server has counted a request, in milliseconds
   */
  supplyUntil(at: number, now: number, lag: number): number
  /** When its window ends and all is there again; `undefined` where it has no such moment, or it is not known. */
  endsAt?(now: number): number | undefined
  /** What is left now, in whole units. */
  remaining(now: number): number
}

/** What a limit is, in the words in which processes tell each other of it. */
export interface LimitShape {
  readonly kind: 'window' | 'bucket' | 'calendar' | 'concurrency'
  readonly unit: 'requests' | 'tokens' | 'concurrency'
  /** How many units there are in all: of a bucket its size, else the limit. */
  readonly units: number
  /** Units that flow into a bucket in each millisecond; 0 for what is no bucket. */
  readonly flow: number
  /** For how long a unit that was used is gone, in milliseconds; `undefined`: till the calendar's window ends. */
  readonly per: number | undefined
}

/**
 * A meter of which this process may hold a part only, its allotment, while other processes hold the rest. It begins
 * with all of it.
 *
 * An allotment that shrinks takes free units first; those in use are `held` until they come back.
 */
export interface SharedMeter extends Meter {
  readonly shape: LimitShape
  readonly allotted: number
  /** The parts of the limit that are free in other processes, or nowhere in use: what `remaining` counts with its own. */
  elsewhere: number
  /** From when on more may be had of the others; `Infinity`: never, as with all of the limit at hand. */
  moreAt: number
  /** Holds so many units from now on; `content`: how full those are that a bucket has got on top. */
  allot(units: number, content: number, now: number): void
  /** The units that nobody else may have now: the allotment, and what is in use beyond it. */
  held(now: number): number
  /** The units that are in use. */
  inUse(now: number): number
  /** When the first of those that are in use comes back; `undefined`: at any moment, or none is. */
  backAt(now: number): number | undefined
}

/** Whether there is more to be had of others is looked for so often while requests wait, in milliseconds. */
const LOOK = 100

/** When to ask again, where what is missing may come from other processes before it comes back here. */
export function orMore(at: number, { moreAt }: Pick<SharedMeter, 'moreAt'>, now: number): number {
  return moreAt === Number.POSITIVE_INFINITY ? at : Math.min(at, Math.max(moreAt, now + LOOK))
}

/** What a meter of a window is made of. */
export interface WindowSettings<Per> {
  readonly unit: 'requests' | 'tokens'
  readonly limit: number
  readonly per: Per
  readonly cost: ((request: Request) => number) | undefined
  readonly settles?: boolean | undefined
}
