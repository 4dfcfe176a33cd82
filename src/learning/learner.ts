import type { Meter } from '../limiter/meter.js'
import type { OpenBook } from '../limiter/permit-book.js'
import type { LimitReading } from '../signals/limit-fields.js'
import { GentleStart } from './gentle-start.js'
import { type Finding, HiddenLimit } from './hidden-limit.js'
import type { Lessons } from './lessons.js'
import { ToldWindow } from './told-window.js'

/** A request that is on its way, as the learner knows it. */
export interface Ticket {
  readonly takenAt: number
  /** How many had been answered when it was taken. */
  readonly answeredBefore: number
  over: boolean
}

/** More limits than that are not told of by anyone in good faith. */
const MOST_WINDOWS = 12

/**
 * Finds the limits that nobody declared: from fields on answers, before the first refusal, and from refusals where there
 * are no fields; and follows them when they change.
 */
export class Learner {
  readonly #openBook: OpenBook
  readonly #lessons: Lessons
  readonly #start: GentleStart
  readonly #hidden: HiddenLimit
  /** Made with the first of them. */
  #windows: Map<string, ToldWindow> | undefined
  readonly #changed: (meters: readonly Meter[]) => void
  #hiddenMeter: Meter | undefined
  #taken = 0
  #answered = 0
  #refused = 0
  #refusedAt = Number.NEGATIVE_INFINITY

  /**
   * @param known - whether limits were declared: then it starts at their pace
   * @param changed - told the meters that were learnt, whenever others are
   */
  constructor(openBook: OpenBook, lessons: Lessons, known: boolean, changed: (meters: readonly Meter[]) => void) {
    this.#openBook = openBook
    this.#lessons = lessons
    this.#start = new GentleStart(known)
    this.#hidden = new HiddenLimit(this.#openBook)
    this.#changed = changed
  }

  /** A limit that no field tells of, as it was found out. */
  get finding(): Finding | undefined {
    return this.#hidden.finding
  }

  /** Begins with what other processes have found. */
  adopt(finding: Finding, now: number): void {
    // What fields tell is known better.
    if (this.#windows) return
    this.#hidden.adopt(finding, now)
    this.#start.open()
    this.#tellChange()
  }

  /** From when one more may leave, the meters apart. */
  availableAt(now: number): number {
    return this.#start.availableAt(this.#taken - this.#answered, now)
  }

  take(now: number): Ticket {
    this.#hidden.begin(now)
    this.#hidden.beforeTake(now, this.#taken - this.#refused)
    this.#tellChange()
    this.#taken++
    return { takenAt: now, answeredBefore: this.#answered, over: false }
  }

  /** It was not sent. */
  undo(ticket: Ticket): void {
    if (ticket.over) return
    ticket.over = true
    this.#taken--
  }

  /** It has ended, whatever came of it. */
  ended(ticket: Ticket): void {
    if (ticket.over) return
    ticket.over = true
    this.#answered++
  }

  /** The server has counted it and let it pass. */
  passed(ticket: Ticket, readings: readonly LimitReading[], now: number): void {
    this.ended(ticket)
    this.#read(ticket, readings, now, true)
    this.#hidden.succeeded(ticket.takenAt, now, this.#taken - this.#refused)
    this.#tellChange()
  }

  /**
   * The server has refused it for a limit.
   *
   * @param told - how long the server says to wait, in milliseconds
   * @returns how long to wait, as far as it is known better, or at all
   */
  refused(ticket: Ticket, told: number | undefined, readings: readonly LimitReading[], now: number): number {
    this.ended(ticket)
    this.#refused++
    this.#read(ticket, readings, now, false)
    // What was on its way together is one refusal.
    const isNew = ticket.takenAt > this.#refusedAt
    if (isNew) this.#refusedAt = now
    // A limit that the fields show as used up needs no other explanation.
    const spent = readings.filter(({ remaining }) => remaining === 0)
    if (spent.length > 0) return this.#waitFor(spent, told, now)
    if (isNew && !this.#hidden.meter) this.#start.restart()
    const guess = this.#hidden.refused(now, told, isNew)
    return told ?? guess
  }

  /** The reset by the server's clock is told to the second, and known more closely here. */
  #waitFor(spent: readonly LimitReading[], told: number | undefined, now: number): number {
    const waits = spent.map(({ id }) => this.#windows?.get(id)?.waitAt(now)).filter(wait => wait !== undefined)
    const known = waits.length > 0 ? Math.max(...waits) : undefined
    if (told === undefined) return known ?? 0
    return known !== undefined && told > known && told - known <= 1_000 ? known : told
  }

  #read(ticket: Ticket, readings: readonly LimitReading[], now: number, passed: boolean): void {
    if (readings.length === 0) return
    // It and those before it have been counted; those that were on its way with it, or were sent since, may be too.
    const ahead = this.#taken - ticket.answeredBefore - 1
    for (const reading of readings) {
      this.#windows ??= new Map()
      let window = this.#windows.get(reading.id)
      if (!window) {
        if (this.#windows.size >= MOST_WINDOWS) continue
        window = new ToldWindow(reading, this.#lessons.meaningOf(reading.id), this.#lessons, now)
        this.#windows.set(reading.id, window)
        // Fields that say how much is left make holding back needless.
        if (reading.unit === 'requests') this.#start.open()
        this.#publish()
      }
      window.sync(reading, ahead, this.#answered, ticket.takenAt, passed, now)
    }
  }

  #tellChange(): void {
    if (this.#hidden.meter === this.#hiddenMeter) return
    this.#hiddenMeter = this.#hidden.meter
    this.#publish()
  }

  #publish(): void {
    this.#changed([...(this.#windows?.values() ?? []), ...(this.#hidden.meter ? [this.#hidden.meter] : [])])
  }
}
