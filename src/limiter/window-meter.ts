import type { CalendarPeriod } from '../calendar.js'
import type { LimitShape, SharedMeter, WindowSettings } from './meter.js'
import type { PermitBook } from './permit-book.js'

/** What all meters of a window have in common: what they count, and the book that they count it in. */
export abstract class WindowMeter<Per extends number | CalendarPeriod> implements SharedMeter {
  readonly unit: 'requests' | 'tokens'
  limit: number
  per: Per
  readonly cost: ((request: Request) => number) | undefined
  readonly settles: boolean | undefined
  capacity: number
  allotted: number
  elsewhere = 0
  moreAt = Number.POSITIVE_INFINITY
  protected readonly book: PermitBook

  protected constructor({ unit, limit, per, cost, settles }: WindowSettings<Per>, capacity: number, book: PermitBook) {
    this.unit = unit
    this.limit = limit
    this.per = per
    this.cost = cost
    this.settles = settles
    this.capacity = capacity
    this.allotted = capacity
    this.book = book
  }

  abstract availableAt(weight: number, now: number, nextConfirm: number): number
  abstract take(weight: number, now: number): void
  abstract confirm(weight: number, at: number): void
  abstract undo(weight: number, now: number): void
  abstract remaining(now: number): number
  abstract supplyUntil(at: number, now: number, lag: number): number
  abstract readonly shape: LimitShape

  allot(units: number, _content: number, now: number): void {
    // Brings up to date what has come back till now, which is the old allotment's.
    this.remaining(now)
    this.book.reservoir += units - this.allotted
    this.allotted = units
  }

  held(now: number): number {
    this.remaining(now)
    return this.allotted + Math.max(0, -this.book.reservoir)
  }

  backAt(_now: number): number | undefined {
    return undefined
  }

  inUse(now: number): number {
    this.remaining(now)
    return this.allotted - this.book.reservoir
  }

  /** A window does not care how long a response takes. */
  end(): void {}
}
