import { type LimitShape, orMore, type WindowSettings } from './meter.js'
import type { OpenBook } from './permit-book.js'
import { WindowMeter } from './window-meter.js'

/**
 * A bucket of `burst`, refilled at `limit` for each `per`.
 *
 * The server's bucket may be full until a request arrives, and what would have flowed in meanwhile is lost. So
 * requests that the server has not yet counted take their share off the bucket's size, not only off its content:
 * the level here is never above the server's.
 */
export class TokenBucket extends WindowMeter<number> {
  #refilledAt: number
  #unconfirmed = 0

  constructor(openBook: OpenBook, settings: WindowSettings<number>, burst: number, now: number) {
    // Content is counted in units of 1/`per` of a token, of which `limit` flow in each millisecond: whole numbers, no drift.
    super(settings, burst, openBook({ reservoir: burst * settings.per, maxConcurrent: null }))
    this.#refilledAt = now
  }

  availableAt(weight: number, now: number, nextConfirm: number): number {
    this.#refill(now)
    const missing = weight * this.per - this.book.reservoir
    if (missing <= 0) return now
    if (weight + this.#unconfirmed > this.allotted) return orMore(nextConfirm, this, now)
    return orMore(now + Math.ceil(missing / this.#flow), this, now)
  }

  take(weight: number, now: number): void {
    this.#refill(now)
    this.book.admit(weight * this.per, now)
    this.#unconfirmed += weight
  }

  confirm(weight: number, at: number): void {
    this.#refill(at)
    this.#unconfirmed -= weight
    this.book.free(weight * this.per)
  }

  settle(reserved: number, actual: number, _at: number, now: number): void {
    this.#refill(now)
    const level = this.book.reservoir - (actual - reserved) * this.per
    this.book.reservoir = Math.min(this.allotted * this.per, level)
  }

  undo(weight: number, now: number): void {
    this.#refill(now)
    this.#unconfirmed -= weight
    this.book.free(weight * this.per)
    this.book.reservoir += weight * this.per
  }

  remaining(now: number): number {
    this.#refill(now)
    return Math.max(0, Math.floor(this.book.reservoir / this.per + this.elsewhere))
  }

  supplyUntil(at: number, now: number): number {
    this.#refill(now)
    return (this.book.reservoir + (at - now) * this.#flow) / this.per + this.elsewhere
  }

  get shape(): LimitShape {
    return { kind: 'bucket', unit: this.unit, units: this.capacity, flow: this.limit / this.per, per: undefined }
  }

  /** A part of a bucket is a bucket, into which its part flows: together they are never fuller than the whole. */
  override allot(units: number, content: number, now: number): void {
    this.#refill(now)
    this.allotted = units
    this.book.reservoir = Math.min(units, this.book.reservoir / this.per + content) * this.per
  }

  override held(): number {
    return this.allotted
  }

  override inUse(now: number): number {
    this.#refill(now)
    return this.allotted - Math.max(0, this.book.reservoir / this.per)
  }

  /** What flows in each millisecond, in units of 1/`per`. */
  get #flow(): number {
    return this.allotted === this.capacity ? this.limit : (this.limit * this.allotted) / this.capacity
  }

  #refill(now: number): void {
    const elapsed = now - this.#refilledAt
    if (elapsed <= 0) return
    this.#refilledAt = now
    const full = (this.allotted - this.#unconfirmed) * this.per
    const level = this.book.reservoir
    this.book.reservoir = Math.max(level, Math.min(full, level + elapsed * this.#flow))
  }
}
