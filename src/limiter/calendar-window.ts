import type { WindowSettings } from './meter.js'
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
    return this.book.reservoir >= weight ? now : this.#endsAt
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

  undo(weight: number): void {
    this.#unconfirmed -= weight
    this.book.free(weight)
    this.book.reservoir = Math.min(this.limit, this.book.reservoir + weight)
  }

  remaining(now: number): number {
    this.#refill(now)
    return this.book.reservoir
  }

  #refill(now: number): void {
    if (now < this.#endsAt) return
    this.#endsAt = endOfCalendarWindow(now, this.per, this.#timeZone)
    // What left before midnight may be counted after it.
    this.book.reservoir = this.limit - this.#unconfirmed
  }
}

/** The first moment of the next calendar day or month in `timeZone`, in milliseconds since the epoch. */
export function endOfCalendarWindow(now: number, per: 'day' | 'month', timeZone: string): number {
  const { year, month, day } = localDate(now, timeZone)
  const next = per === 'day' ? [year, month, day + 1] : [year, month + 1, 1]
  const wall = Date.UTC(next[0]!, next[1]! - 1, next[2]!)
  // Local midnight as UTC, less the zone's offset; twice, as the offset may change between the guess and the answer.
  let at = wall - zoneOffset(wall, timeZone)
  at = wall - zoneOffset(at, timeZone)
  // Where summer time skips midnight itself, the day begins an hour later: never answer with a moment that is past.
  return at > now ? at : at + 3_600_000
}

function localDate(at: number, timeZone: string) {
  const parts: Record<string, number> = {}
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  for (const { type, value } of format.formatToParts(at)) parts[type] = Number(value)
  return parts as { year: number; month: number; day: number; hour: number; minute: number; second: number }
}

function zoneOffset(at: number, timeZone: string): number {
  const { year, month, day, hour, minute, second } = localDate(at, timeZone)
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(at / 1000) * 1000
}
