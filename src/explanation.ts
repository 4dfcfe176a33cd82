import type { CacheForecast } from './cache/plan.js'
import type { Cause } from './events.js'

/** What would happen to a request now, without sending it. */
export interface Explanation {
  readonly method: string
  readonly url: string
  /**
   * `pass-through`: its origin is not the pool's; `from-cache`: it would be answered without sending anything; `join`: it
   * would share the answer of an equal one that is on its way; `send`: it would leave at once; `wait`: when a key is
   * free; `fail`: no key can come within `maxWait`.
   */
  readonly outcome: 'pass-through' | 'from-cache' | 'join' | 'send' | 'wait' | 'fail'
  /** What the cache would do: `off` where it is no matter of the cache's. */
  readonly cache: CacheForecast
  /** The key that it would leave with, at once or after the wait; `null`: none, or nobody knows yet. */
  readonly keyId: string | null
  /** The model, route or resource that it shares limits with; `null`: all that a key may ask. */
  readonly part: string | null
  /**
   * How long it would wait for a key, in milliseconds, behind those that stand before it: as far as can be told by the
   * limits, the cooldowns and how long requests have taken. `null`: nobody knows, or in vain.
   */
  readonly wait: number | null
  /** How many calls stand before it in line. */
  readonly ahead: number
  /** Each key's own part in it; at most the first hundred keys. */
  readonly keys: readonly {
    readonly keyId: string
    readonly usable: boolean
    readonly cause: Cause | null
    /** From when it could serve this request; `null`: at once, or nobody knows. */
    readonly until: Date | null
    readonly why: string
  }[]
  /** All of it in one sentence. */
  readonly why: string
}
