import { type CalendarPeriod, endOfCalendarWindow, USUAL_LENGTH_MS } from '../calendar.js'
import { type LimitShape, orMore, type WindowSettings } from './meter.js'
import type { OpenBook } from './permit-book.js'
import { WindowMeter } from './window-meter.js'

/** A window that is over, as long as the clock may be set back to it. */
interface PastWindow {
  readonly endsAt: number
  readonly reservoir: number
}

/** A clock that was set back by less is one that was set a little more exactly, in milliseconds. */
const ADJUSTMENT_MS = 1_000

/**
 * `limit` for each hour, day, week or month of the calendar in a time zone.
 *
 * It goes by the system's clock, which may be wrong for a moment: where it is set back to the day before, that day's uses
 * count again, together with those that were counted for the day that has not come yet.
 */
export class CalendarWindow extends WindowMeter<CalendarPeriod> {
  readonly #timeZone: string
  readonly #wallNow: () => number
  /** By the system's clock: the first moment that this window was seen at, and the end of it. */
  #seenFrom: number
  #endsAt: number
  #past: PastWindow | undefined
  #unconfirmed = 0

  /** @param wallNow - milliseconds since the epoch by the system's clock; every other time here is the monotonic clock's */
  constructor(openBook: OpenBook, settings: WindowSettings<CalendarPeriod>, timeZone: string, wallNow: () => number) {
    super(settings, settings.limit, openBook({ reservoir: settings.limit, maxConcurrent: null }))
    this.#timeZone = timeZone
    this.#wallNow = wallNow
    this.#seenFrom = wallNow()
    this.#endsAt = endOfCalendarWindow(this.#seenFrom, settings.per, timeZone)
  }

  availableAt(weight: number, now: number): number {
    this.#refill()
    if (this.book.reservoir >= weight) return now
    // Too small an allotment is no matter of time.
    return orMore(weight <= this.allotted ? this.#endIn(now) : Number.POSITIVE_INFINITY, this, now)
  }

  take(weight: number, now: number): void {
    this.#refill()
    this.book.admit(weight, now)
    this.#unconfirmed += weight
  }

  confirm(weight: number): void {
    this.#unconfirmed -= weight
    this.book.free(weight)
  }

  settle(reserved: number, actual: number, at: number, now: number): void {
    this.#refill()
    // Counted before midnight, it is no matter of today.
    if (at < this.#begunIn(now)) return
    this.book.reservoir = Math.min(this.allotted, this.book.reservoir - (actual - reserved))
  }

  undo(weight: number): void {
    this.#unconfirmed -= weight
    this.book.free(weight)
    this.book.reservoir = Math.min(this.allotted, this.book.reservoir + weight)
  }

  endsAt(now: number): number {
    this.#refill()
    return this.#endIn(now)
  }

  remaining(): number {
    this.#refill()
    return Math.max(0, this.book.reservoir) + this.elsewhere
  }

  supplyUntil(at: number, now: number): number {
    this.#refill()
    const left = this.book.reservoir + this.elsewhere
    const over = at - this.#endIn(now)
    return over < 0 ? left : left + this.limit * (1 + Math.floor(over / USUAL_LENGTH_MS[this.per]))
  }

  override backAt(now: number): number | undefined {
    return this.endsAt(now)
  }

  get shape(): LimitShape {
    return { kind: 'calendar', unit: this.unit, units: this.limit, flow: 0, per: undefined }
  }

  #endIn(now: number): number {
    return now + this.#endsAt - this.#wallNow()
  }

  /** A moment on the monotonic clock at which the window had begun. */
  #begunIn(now: number): number {
    return now + this.#seenFrom - this.#wallNow()
  }

  #refill(): void {
    const wall = this.#wallNow()
    if (wall >= this.#endsAt) this.#begin(wall)
    else if (wall < this.#seenFrom - ADJUSTMENT_MS) this.#goBack(wall)
  }

  #begin(wall: number): void {
    this.#past = { endsAt: this.#endsAt, reservoir: this.book.reservoir }
    this.#seenFrom = this.#endsAt
    this.#endsAt = endOfCalendarWindow(wall, this.per, this.#timeZone)
    // What left before midnight may be counted after it.
    this.book.reservoir = this.allotted - this.#unconfirmed
  }

  #goBack(wall: number): void {
    const endsAt = endOfCalendarWindow(wall, this.per, this.#timeZone)
    this.#seenFrom = wall
    if (endsAt === this.#endsAt) return
    if (this.#past?.endsAt === endsAt) {
      const used = this.allotted - this.book.reservoir
      this.book.reservoir = Math.min(this.book.reservoir, this.#past.reservoir - used)
    }
    this.#endsAt = endsAt
    this.#past = undefined
  }
}
