import type { Meter } from '../limiter/meter.js'

/** How much may be made up for after a moment of not being asked, in milliseconds of the pace. */
const CATCH_UP = 40

/** A pace that was found out: so many requests a second, evenly spread. */
export class PacedBucket implements Meter {
  readonly unit = 'requests'
  readonly cost = undefined
  readonly per = 1000
  /** Requests in a millisecond. */
  #rate: number
  #level = 1
  #at: number

  constructor(rate: number, now: number) {
    this.#rate = rate
    this.#at = now
  }

  get limit(): number {
    return this.#rate * 1000
  }

  get capacity(): number {
    return Math.max(1, this.#rate * CATCH_UP)
  }

  /** Goes on at another pace. */
  set rate(rate: number) {
    this.#rate = rate
  }

  availableAt(weight: number, now: number): number {
    this.#refill(now)
    const missing = weight - this.#level
    return missing <= 0 ? now : now + Math.ceil(missing / this.#rate)
  }

  take(weight: number, now: number): void {
    this.#refill(now)
    this.#level -= weight
  }

  confirm(): void {}

  undo(weight: number): void {
    this.#level += weight
  }

  end(): void {}

  remaining(now: number): number {
    this.#refill(now)
    return Math.max(0, Math.floor(this.#level))
  }

  supplyUntil(at: number, now: number): number {
    this.#refill(now)
    return this.#level + (at - now) * this.#rate
  }

  #refill(now: number): void {
    if (now <= this.#at) return
    this.#level = Math.min(this.capacity, this.#level + (now - this.#at) * this.#rate)
    this.#at = now
  }
}
