import type { Weigh } from '../limiter/limiter.js'
import type { RequestSummary } from '../request-summary.js'
import type { PooledKey } from './pooled-key.js'

/** What a request asks of the pool. */
export interface Demand {
  /** The call that asks. */
  readonly callId: string
  readonly weigh: Weigh
  /** The most that it weighs by any key's limits. */
  readonly weight: number
  /** Equal for requests that the same keys may serve: where one of them finds none, the others need not look. */
  readonly group: string
  /** The name of what it shares its limits with; `''`: with all that a key may ask. */
  readonly part: string
  /** The name of what a refusal of a resource closes; `''`: it has none, or it can't be told. */
  readonly resource: string
  /** What else it belongs to that may be closed whatever the key: its part, and its resource, which is the last. */
  readonly resources: readonly string[]
  /** Which keys may serve it at all; `undefined`: any. */
  readonly accepts: ((key: PooledKey) => boolean) | undefined
  /** The id of the key that would serve it best, if that is usable. */
  readonly prefers: string | undefined
  /** The id of the key that has just failed, if another would do. */
  readonly avoids: string | undefined
  /** Whether it can be sent again, should the key prove dead: only such requests try doubtful keys. */
  readonly mayProbe: boolean
  /** The place in line: 0 before 1 before 2. */
  readonly rank: 0 | 1 | 2
  /** Until when it waits, in milliseconds since the epoch. */
  readonly deadline: number
  readonly signal: AbortSignal | undefined
  summary(): RequestSummary
}
