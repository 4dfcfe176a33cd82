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
  readonly per: number | 'day' | 'month' | undefined
  /** What a request weighs in tokens, where the user says it. */
  readonly cost: ((request: Request) => number) | undefined
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
  /** Its response is over. */
  end(weight: number): void
  /** When its window ends and all is there again; `undefined` where it has no such moment, or it is not known. */
  endsAt?(now: number): number | undefined
  /** What is left now, in whole units. */
  remaining(now: number): number
}

/** What a meter of a window is made of. */
export interface WindowSettings<Per> {
  readonly unit: 'requests' | 'tokens'
  readonly limit: number
  readonly per: Per
  readonly cost: ((request: Request) => number) | undefined
}
