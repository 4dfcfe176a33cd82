import { type LimitShape, orMore, type SharedMeter } from './meter.js'
import { movingAverage } from './moving-average.js'
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
  /** When those that are running began, the oldest first. */
  readonly #began: number[] = []
  /** How long they run on average lately, in milliseconds; `undefined`: none has ended yet. */
  #heldFor: number | undefined

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
    this.#began.push(now)
  }

  confirm(): void {}

  undo(weight: number): void {
    this.#book.free(weight)
    this.#began.pop()
  }

  end(weight: number, heldFor: number): void {
    this.#book.free(weight)
    this.#began.shift()
    this.#heldFor = movingAverage(this.#heldFor ?? heldFor, heldFor)
  }

  /** Each place is free again when what runs in it has taken as long as others did. */
  supplyUntil(at: number, now: number): number {
    const free = Math.max(0, this.allotted - this.#book.running) + this.elsewhere
    if (this.#heldFor === undefined) return free
    const heldFor = Math.max(1, this.#heldFor)
    let supply = free * (1 + Math.floor((at - now) / heldFor))
    for (const began of this.#began) {
      const freeAt = Math.max(now + 1, began + heldFor)
      if (at >= freeAt) supply += 1 + Math.floor((at - freeAt) / heldFor)
    }
    return supply
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
