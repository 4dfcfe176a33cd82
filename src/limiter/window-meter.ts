import type { Meter, WindowSettings } from './meter.js'
import type { PermitBook } from './permit-book.js'

/** What all meters of a window have in common: what they count, and the book that they count it in. */
export abstract class WindowMeter<Per extends number | 'day' | 'month'> implements Meter {
  readonly unit: 'requests' | 'tokens'
  limit: number
  per: Per
  readonly cost: ((request: Request) => number) | undefined
  capacity: number
  protected readonly book: PermitBook

  protected constructor({ unit, limit, per, cost }: WindowSettings<Per>, capacity: number, book: PermitBook) {
    this.unit = unit
    this.limit = limit
    this.per = per
    this.cost = cost
    this.capacity = capacity
    this.book = book
  }

  abstract availableAt(weight: number, now: number, nextConfirm: number): number
  abstract take(weight: number, now: number): void
  abstract confirm(weight: number, at: number): void
  abstract undo(weight: number, now: number): void
  abstract remaining(now: number): number

  /** A window does not care how long a response takes. */
  end(): void {}
}
