import type { Meter } from './meter.js'
import type { OpenBook, PermitBook } from './permit-book.js'

/** No more than `limit` requests at once, each until its response is over. */
export class Concurrency implements Meter {
  readonly unit = 'concurrency'
  readonly limit
  readonly per = undefined
  readonly cost = undefined
  readonly capacity
  readonly #book: PermitBook

  constructor(openBook: OpenBook, limit: number) {
    this.limit = limit
    this.capacity = limit
    this.#book = openBook({ reservoir: null, maxConcurrent: limit })
  }

  availableAt(weight: number, now: number): number {
    return this.#book.running + weight <= this.limit ? now : Number.POSITIVE_INFINITY
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
    return this.limit - this.#book.running
  }
}
