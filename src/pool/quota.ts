import type { Limiter } from '../limiter/limiter.js'

/** Whether a quota may be drawn on, after what the server has said of it. */
export type Cooldown =
  | { readonly state: 'open' }
  | {
      readonly state: 'cooling'
      readonly cause: 'rate-limit' | 'quota'
      /** Since when it has been away. */
      readonly since: number
      /** When the server last refused it. */
      readonly refusedAt: number
      readonly until: number
      /** Whether the server said until when; else it is a guess, and one request at a time will try. */
      readonly told: boolean
    }
  /** The time is over and no request has shown yet that the quota is there again. */
  | {
      readonly state: 'half-open'
      readonly cause: 'rate-limit' | 'quota'
      readonly since: number
      readonly refusedAt: number
      /** Whether one request at a time tries it, as the time was a guess. */
      readonly single: boolean
    }

/** What keys share: the limits and the cooldown of one account, project or plan. Most keys have one of their own. */
export class Quota<Key = unknown> {
  readonly limiter: Limiter
  readonly group: string | undefined
  readonly keys = new Set<Key>()
  cooldown: Cooldown = OPEN
  /** Whether the one request that tries a half-open quota is on its way. */
  probing = false
  /** Refusals in a row, each burst of them counted once. */
  refusals = 0

  constructor(limiter: Limiter, group: string | undefined) {
    this.limiter = limiter
    this.group = group
  }
}

export const OPEN: Cooldown = { state: 'open' }
