import type { Permit } from '../limiter/limiter.js'
import type { LimitReading } from '../signals/limit-fields.js'
import type { PooledKey } from './pooled-key.js'

/** What a lease tries out: nothing, a quota that may be back, or a key that was refused as invalid. */
export type Probe = 'none' | 'quota' | 'key'

/** A key lent to one attempt, with the permit to send it. It is given back exactly once, by `end`. */
export class Lease {
  readonly key: PooledKey
  readonly takenAt: number
  readonly probe: Probe
  readonly #permit: Permit
  readonly #giveBack: (lease: Lease) => void
  #over = false
  /** Whether it was sent at all. */
  left = false

  constructor(key: PooledKey, permit: Permit, probe: Probe, takenAt: number, giveBack: (lease: Lease) => void) {
    this.key = key
    this.takenAt = takenAt
    this.probe = probe
    this.#permit = permit
    this.#giveBack = giveBack
  }

  /** Whether a limit counts requests at once, so that the lease must be held until the body has ended. */
  get holdsConcurrency(): boolean {
    return this.key.quota.limiter.meters.some(meter => meter.unit === 'concurrency')
  }

  /** The attempt is being sent. */
  leaves(): void {
    this.left = true
    this.#permit.leaves()
  }

  /** The server has let it pass. */
  passed(readings: readonly LimitReading[]): void {
    this.#permit.passed(readings)
  }

  /** The server has refused it for a limit: see `Permit`. */
  refused(told: number | undefined, readings: readonly LimitReading[]): number {
    return this.#permit.refused(told, readings)
  }

  /** The server has counted it. */
  answered(): void {
    this.#permit.answered()
  }

  /** It is over, or will not be sent. */
  end(): void {
    if (this.#over) return
    this.#over = true
    // What was never sent has cost the key nothing.
    if (this.left) this.#permit.end()
    else this.#permit.undo()
    this.#giveBack(this)
  }
}
