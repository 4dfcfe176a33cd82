import { type LimitShape, orMore, type SharedMeter } from './meter.js'
import type { OpenBook, PermitBook } from './permit-book.js'

/** No more than `limit` requests at once, each until its response is over. */
export class Concurrency implements SharedMeter {
  readonly unit = 'concurrency'
  readonly limit
  readonly per = undefined
  readonly cost = undefined
  readonly capacity
  allotted: number
  elsewhere = 0
  moreAt = Number.POSITIVE_INFINITY
  readonly #book: PermitBook

  constructor(openBook: OpenBook, limit: number) {
    this.limit = limit
    this.capacity = limit
    this.allotted = limit
    this.#book = openBook({ reservoir: null, maxConcurrent: limit })
  }

  availableAt(weight: number, now: number): number {
    return this.#book.running + weight <= this.allotted ? now : orMore(Number.POSITIVE_INFINITY, this, now)
  }

  take(weight: number, now: number): void {
    this.#book.admit(weight, now)
  }

  confirm(): void {}

  undo(weight: number): void {
    this.#book.free(weight)
  }

  end(weight: number): void {
    this.#book.free(weight)
  }

  remaining(): number {
    return Math.max(0, this.allotted - this.#book.running) + this.elsewhere
  }

  get shape(): LimitShape {
    return { kind: 'concurrency', unit: 'concurrency', units: this.limit, flow: 0, per: 0 }
  }

  allot(units: number): void {
    this.allotted = units
  }

  held(): number {
    return Math.max(this.allotted, this.#book.running)
  }

  backAt(): undefined {
    return undefined
  }

  inUse(): number {
    return this.#book.running
  }
}
