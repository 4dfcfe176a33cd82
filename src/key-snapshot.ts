import type { CalendarPeriod } from './calendar.js'
import type { Cause } from './events.js'

/** One limit of a key, and what is left of it. */
export interface LimitSnapshot {
  readonly unit: 'requests' | 'tokens' | 'concurrency'
  /** `null`: not told yet. */
  readonly limit: number | null
  /** What could be used at once now. */
  readonly remaining: number
  /** The window in milliseconds, or the calendar's; `null` for concurrency. */
  readonly per: number | CalendarPeriod | null
  /** The bucket's size, where the limit has one. */
  readonly burst: number | null
  /** Whether it was found out, from the server's fields or its refusals, and not declared. */
  readonly learnt: boolean
}

/** How a key is doing for one model, route or whatever else has limits of its own. */
export interface PartSnapshot {
  readonly name: string
  readonly state: 'ready' | 'busy' | 'cooling' | 'probing' | 'disabled'
  readonly cause: Cause | null
  readonly until: Date | null
  readonly limits: readonly LimitSnapshot[]
}

/** How a key is doing: everything about it but its value. */
export interface KeySnapshot {
  readonly id: string
  /**
   * `ready`; `busy`: at its own limits, free again by itself; `cooling`: refused by the server, back at `until`;
   * `probing`: one request is finding out whether it is back; `disabled`: someone must act.
   */
  readonly state: 'ready' | 'busy' | 'cooling' | 'probing' | 'disabled'
  /** Why it is cooling, probing or disabled. */
  readonly cause: Cause | null
  /** When it will be usable again, as far as anyone knows. */
  readonly until: Date | null
  /** Why it was last refused or disabled, even if it has recovered since. */
  readonly lastCause: Cause | null
  readonly limits: readonly LimitSnapshot[]
  /** The least that is left of its limits, in requests; `null` without such a limit. */
  readonly remaining: number | null
  /** The parts of its quota that have limits of their own: see `scope`. */
  readonly parts: readonly PartSnapshot[]
  readonly inFlight: number
  readonly group: string | null
  readonly weight: number
  readonly priority: number
  readonly tags: readonly string[]
  readonly expiresAt: Date | null
  /** The key's own endpoint. */
  readonly baseUrl: string | null
}
