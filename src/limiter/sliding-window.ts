import type { Meter, WindowSettings } from './meter.js'
import type { OpenBook, PermitBook } from './permit-book.js'

/** Returns are gathered into so many steps of a window at most, which bounds its memory at a cost of 0.1% of the pace. */
const STEPS = 1000

/**
 * Never more than `limit` in any stretch of `per`, as the server counts it.
 *
 * A permit comes back `per` after the server is known to have counted the request, not after it was sent.
 */
export class SlidingWindow implements Meter {
  readonly unit
  readonly limit
  readonly per
  readonly cost
  readonly capacity
  readonly #book: PermitBook
  readonly #step: number
  /** Permits on their way back, the earliest first; `#first` is where the list begins. */
  #returns: { at: number; weight: number }[] = []
  #first = 0

  constructor(openBook: OpenBook, { unit, limit, per, cost }: WindowSettings<number>) {
    this.unit = unit
    this.limit = limit
    this.per = per
    this.cost = cost
    this.capacity = limit
    this.#step = Math.max(1, per / STEPS)
    this.#book = openBook({ reservoir: limit, maxConcurrent: null })
  }

  availableAt(weight: number, now: number, nextConfirm: number): number {
    this.#refill(now)
    let left = this.#book.reservoir
    if (left >= weight) return now
    for (let index = this.#first; index < this.#returns.length; index++) {
      const { at, weight: returned } = this.#returns[index]!
      left += returned
      if (left >= weight) return at
    }
    return nextConfirm + this.per
  }

  take(weight: number, now: number): void {
    this.#refill(now)
    this.#book.admit(weight, now)
  }

  confirm(weight: number, at: number): void {
    const returnsAt = Math.ceil((at + this.per) / this.#step) * this.#step
    const returns = this.#returns
    let index = returns.length - 1
    // Nearly always the last: confirmations come in the order of time, save for those found out late.
    while (index >= this.#first && returns[index]!.at > returnsAt) index--
    const before = index >= this.#first ? returns[index] : undefined
    if (before?.at === returnsAt) before.weight += weight
    else returns.splice(index + 1, 0, { at: returnsAt, weight })
    this.#book.free(weight)
  }

  undo(weight: number): void {
    this.#book.free(weight)
    this.#book.reservoir += weight
  }

  end(): void {}

  remaining(now: number): number {
    this.#refill(now)
    return this.#book.reservoir
  }

  #refill(now: number): void {
    const returns = this.#returns
    while (this.#first < returns.length && returns[this.#first]!.at <= now) {
      this.#book.reservoir += returns[this.#first++]!.weight
    }
    if (this.#first > 0 && (this.#first === returns.length || this.#first >= STEPS)) {
      this.#returns = returns.slice(this.#first)
      this.#first = 0
    }
  }
}
