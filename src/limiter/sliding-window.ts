import { type LimitShape, orMore, type WindowSettings } from './meter.js'
import type { OpenBook } from './permit-book.js'
import { WindowMeter } from './window-meter.js'

/** Returns are gathered into so many steps of a window at most, which bounds its memory at a cost of 0.1% of the pace. */
const STEPS = 1000

/**
 * Never more than `limit` in any stretch of `per`, as the server counts it.
 *
 * A permit comes back `per` after the server is known to have counted the request, not after it was sent.
 */
export class SlidingWindow extends WindowMeter<number> {
  readonly #step: number
  /** Permits on their way back, the earliest first; `#first` is where the list begins. */
  #returns: { at: number; weight: number }[] = []
  #first = 0

  constructor(openBook: OpenBook, settings: WindowSettings<number>) {
    super(settings, settings.limit, openBook({ reservoir: settings.limit, maxConcurrent: null }))
    this.#step = Math.max(1, settings.per / STEPS)
  }

  availableAt(weight: number, now: number, nextConfirm: number): number {
    this.#refill(now)
    let left = this.book.reservoir
    if (left >= weight) return now
    for (let index = this.#first; index < this.#returns.length; index++) {
      const { at, weight: returned } = this.#returns[index]!
      left += returned
      if (left >= weight) return orMore(at, this, now)
    }
    return orMore(nextConfirm + this.per, this, now)
  }

  take(weight: number, now: number): void {
    this.#refill(now)
    this.book.admit(weight, now)
  }

  confirm(weight: number, at: number): void {
    const returnsAt = this.#returnOf(at)
    const returns = this.#returns
    let index = returns.length - 1
    // Nearly always the last: confirmations come in the order of time, save for those found out late.
    while (index >= this.#first && returns[index]!.at > returnsAt) index--
    const before = index >= this.#first ? returns[index] : undefined
    if (before?.at === returnsAt) before.weight += weight
    else returns.splice(index + 1, 0, { at: returnsAt, weight })
    this.book.free(weight)
  }

  settle(reserved: number, actual: number, at: number, now: number): void {
    this.#refill(now)
    const returnsAt = this.#returnOf(at)
    const entry = this.#returns.findLast(each => each.at === returnsAt)
    // A stream that outlasted the window: the window has forgotten it, whatever it weighed.
    if (!entry || returnsAt <= now) return
    entry.weight += actual - reserved
    this.book.reservoir -= actual - reserved
  }

  #returnOf(at: number): number {
    return Math.ceil((at + this.per) / this.#step) * this.#step
  }

  undo(weight: number): void {
    this.book.free(weight)
    this.book.reservoir += weight
  }

  remaining(now: number): number {
    this.#refill(now)
    return Math.max(0, this.book.reservoir) + this.elsewhere
  }

  supplyUntil(at: number, now: number, lag: number): number {
    this.#refill(now)
    // What is used as soon as it is there comes back a window later.
    const cycle = this.per + lag
    const cycles = Math.floor((at - now) / cycle)
    const rest = at - cycles * cycle
    let left = this.book.reservoir + this.elsewhere
    for (let index = this.#first; index < this.#returns.length && this.#returns[index]!.at <= rest; index++) {
      left += this.#returns[index]!.weight
    }
    return cycles * (this.allotted + this.elsewhere) + left
  }

  override backAt(now: number): number | undefined {
    this.#refill(now)
    return this.#returns[this.#first]?.at ?? (this.inUse(now) > 0 ? now + this.per : undefined)
  }

  get shape(): LimitShape {
    return { kind: 'window', unit: this.unit, units: this.limit, flow: 0, per: this.per }
  }

  /** Lets all that is left come back bit by bit, over `span` from `from` on: as it was used up before. */
  spread(from: number, span: number): void {
    const { limit } = this
    for (let index = 0; index < limit; index++) {
      this.#returns.push({ at: Math.ceil(from + (span * index) / limit), weight: 1 })
    }
    this.book.reservoir = 0
  }

  /** What comes from now on passes again after this time. */
  resize(per: number): void {
    this.per = per
  }

  /** Lets `more` pass than before. */
  grow(more: number): void {
    this.limit += more
    this.capacity += more
    this.allotted += more
    this.book.reservoir += more
  }

  #refill(now: number): void {
    const returns = this.#returns
    while (this.#first < returns.length && returns[this.#first]!.at <= now) {
      this.book.reservoir += returns[this.#first++]!.weight
    }
    if (this.#first > 0 && (this.#first === returns.length || this.#first >= STEPS)) {
      this.#returns = returns.slice(this.#first)
      this.#first = 0
    }
  }
}
