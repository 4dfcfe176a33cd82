import type { Cause } from '../events.js'

/** What has happened since the pool was made, in plain numbers. */
export interface PoolStats {
  /** Calls to the pooled origins. */
  readonly requests: number
  /** Calls to other origins, which passed through untouched. */
  readonly passedThrough: number
  /** How often something was sent, rotations and retries included. */
  readonly attempts: number
  /** Attempts that went on with another key. */
  readonly rotations: number
  /** Attempts that repeated a transient failure. */
  readonly retries: number
  /** Calls that were answered, and calls that were rejected. */
  readonly answered: number
  readonly failed: number
  /** Refusals by cause. */
  readonly refusals: Readonly<Record<Cause, number>>
  /** Calls waiting for a key now. */
  readonly waiting: number
  /** Attempts on their way now. */
  readonly inFlight: number
  readonly cache: {
    readonly hits: number
    readonly misses: number
    readonly joined: number
    readonly revalidated: number
    readonly stale: number
    /** How often the store failed; the calls went on without it. */
    readonly storeErrors: number
  }
  /** Each key's own numbers, by its id. */
  readonly keys: Readonly<Record<string, KeyStats>>
}

/** One key's numbers. */
export interface KeyStats {
  readonly attempts: number
  readonly refusals: Readonly<Partial<Record<Cause, number>>>
}

/** Counts. Everything in it is a number that only grows. */
export class Counters {
  requests = 0
  passedThrough = 0
  attempts = 0
  rotations = 0
  retries = 0
  answered = 0
  failed = 0
  readonly refusals: Record<Cause, number> = {
    'rate-limit': 0,
    quota: 0,
    overload: 0,
    'invalid-key': 0,
    expired: 0,
    disabled: 0,
  }
  readonly cache = { hits: 0, misses: 0, joined: 0, revalidated: 0, stale: 0, storeErrors: 0 }
  readonly #keys = new Map<string, { attempts: number; refusals: Partial<Record<Cause, number>> }>()

  attempt(keyId: string): void {
    this.attempts++
    this.#key(keyId).attempts++
  }

  refusal(keyId: string, cause: Cause): void {
    this.refusals[cause]++
    const { refusals } = this.#key(keyId)
    refusals[cause] = (refusals[cause] ?? 0) + 1
  }

  forget(keyId: string): void {
    this.#keys.delete(keyId)
  }

  snapshot(waiting: number, inFlight: number): PoolStats {
    const keys: Record<string, KeyStats> = {}
    for (const [id, { attempts, refusals }] of this.#keys) keys[id] = { attempts, refusals: { ...refusals } }
    const { requests, passedThrough, attempts, rotations, retries, answered, failed } = this
    return {
      ...{ requests, passedThrough, attempts, rotations, retries, answered, failed, waiting, inFlight, keys },
      refusals: { ...this.refusals },
      cache: { ...this.cache },
    }
  }

  #key(id: string) {
    let key = this.#keys.get(id)
    if (!key) {
      key = { attempts: 0, refusals: {} }
      this.#keys.set(id, key)
    }
    return key
  }
}
