import { endOfCalendarWindow } from '../calendar.js'
import { type LimitShape, orMore, type WindowSettings } from './meter.js'
import type { OpenBook } from './permit-book.js'
import { WindowMeter } from './window-meter.js'

/** `limit` for each calendar day or month, which ends at midnight in a time zone. */
export class CalendarWindow extends WindowMeter<'day' | 'month'> {
  readonly #timeZone: string
  #endsAt: number
  #unconfirmed = 0

  constructor(openBook: OpenBook, settings: WindowSettings<'day' | 'month'>, timeZone: string, now: number) {
    super(settings, settings.limit, openBook({ reservoir: settings.limit, maxConcurrent: null }))
    this.#timeZone = timeZone
    this.#endsAt = endOfCalendarWindow(now, settings.per, timeZone)
  }

  availableAt(weight: number, now: number): number {
    this.#refill(now)
    if (this.book.reservoir >= weight) return now
    // Too small an allotment is no matter of time.
    return orMore(weight <= this.allotted ? this.#endsAt : Number.POSITIVE_INFINITY, this, now)
  }

  take(weight: number, now: number): void {
    this.#refill(now)
    this.book.admit(weight, now)
    this.#unconfirmed += weight
  }

  confirm(weight: number): void {
    this.#unconfirmed -= weight
    this.book.free(weight)
  }

  settle(reserved: number, actual: number, at: number, now: number): void {
    const endsAt = this.#endsAt
    this.#refill(now)
    // Counted before midnight, it is no matter of today.
    if (this.#endsAt !== endsAt || at >= endsAt) return
    this.book.reservoir = Math.min(this.allotted, this.book.reservoir - (actual - reserved))
  }

  undo(weight: number): void {
    this.#unconfirmed -= weight
    this.book.free(weight)
    this.book.reservoir = Math.min(this.allotted, this.book.reservoir + weight)
  }

  endsAt(now: number): number {
    this.#refill(now)
    return this.#endsAt
  }

  remaining(now: number): number {
    this.#refill(now)
    return Math.max(0, this.book.reservoir) + this.elsewhere
  }

  override backAt(now: number): number | undefined {
    return this.endsAt(now)
  }

  get shape(): LimitShape {
    return { kind: 'calendar', unit: this.unit, units: this.limit, flow: 0, per: undefined }
  }

  #refill(now: number): void {
    if (now < this.#endsAt) return
    this.#endsAt = endOfCalendarWindow(now, this.per, this.#timeZone)
    // What left before midnight may be counted after it.
    this.book.reservoir = this.allotted - this.#unconfirmed
  }
}
