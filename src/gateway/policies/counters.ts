import { type Clock, dateAt, thisMoment } from '../../clock.js'
import { CalendarWindow } from '../../limiter/calendar-window.js'
import { Concurrency } from '../../limiter/concurrency.js'
import type { SharedMeter } from '../../limiter/meter.js'
import { permitBooks } from '../../limiter/permit-book.js'
import { SlidingWindow } from '../../limiter/sliding-window.js'

/** What is counted for one caller. */
export interface Tally {
  readonly meters: readonly SharedMeter[]
  /** What requests on their way may take of tokens, and how many of them there are. */
  readonly reserved: { tokens: number; requests: number }
}

export interface TallyLimits {
  readonly requests?: number | undefined
  readonly tokens?: number | undefined
  readonly concurrency?: number | undefined
  readonly per: number | 'day' | 'month' | undefined
  readonly timeZone?: string | undefined
}

/** What was used, by whom, of each unit, and when the first of the windows ends. */
export type KeptTallies = Readonly<
  Record<string, { readonly used: Readonly<Record<string, number>>; readonly until: number }>
>

/** Counts units that were used, even where there were not so many. */
export function spend(meter: SharedMeter, units: number, at: number): void {
  if (units <= 0) return
  meter.confirm(0, at)
  meter.settle?.(0, units, at, at)
}

/** How many callers are kept in mind; beyond that, whoever was here longest ago is forgotten. */
const MOST = 10_000
/** So many are looked at for one of whom nothing is counted any more, before one is forgotten that has used something. */
const LOOKED_AT = 16

/** Counts by whom it is counted for. */
export class Tallies {
  readonly #limits: TallyLimits
  readonly #clock: Pick<Clock, 'now' | 'wallNow'>
  readonly #openBook = permitBooks()
  readonly #tallies = new Map<string, Tally>()
  /** How many processes count together: each reserves from its part of what is left. */
  processes = 1
  /** Told of what was used here, for the other processes. */
  onSpent: ((name: string, unit: string, units: number) => void) | undefined

  /** @param clock - `now` of every call is read from it */
  constructor(limits: TallyLimits, clock: Pick<Clock, 'now' | 'wallNow'>) {
    this.#limits = limits
    this.#clock = clock
  }

  of(name: string, now: number): Tally {
    const known = this.#tallies.get(name)
    if (!known && this.#tallies.size >= MOST) this.#forget(now)
    const tally = known ?? { meters: this.#meters(), reserved: { tokens: 0, requests: 0 } }
    // In the order in which they were here last.
    this.#tallies.delete(name)
    this.#tallies.set(name, tally)
    return tally
  }

  /** Tells the others what was used here. */
  told(name: string, unit: string, units: number): void {
    if (units > 0) this.onSpent?.(name, unit, units)
  }

  /** Counts what was used elsewhere. */
  hear(name: string, unit: string, units: number): void {
    const now = this.#clock.now()
    for (const meter of this.of(name, now).meters) if (meter.unit === unit) spend(meter, units, now)
  }

  /** What was used of calendar windows that have not ended, by whom, for a restart. */
  read(): KeptTallies {
    const here = thisMoment(this.#clock)
    const { now } = here
    const kept: Record<string, { used: Record<string, number>; until: number }> = {}
    for (const [name, { meters, reserved }] of this.#tallies) {
      const endsAt = Math.min(...meters.map(meter => meter.endsAt?.(now) ?? Number.POSITIVE_INFINITY))
      const used = Object.fromEntries(
        meters.map(meter => [meter.unit, meter.inUse(now) + (meter.unit === 'tokens' ? reserved.tokens : 0)]),
      )
      if (!Number.isFinite(endsAt) || !Object.values(used).some(each => each > 0)) continue
      kept[name] = { used, until: dateAt(here, endsAt).getTime() }
    }
    return kept
  }

  restore(kept: KeptTallies): void {
    const { now, wall } = thisMoment(this.#clock)
    for (const [name, { used, until }] of Object.entries(kept)) {
      if (until <= wall) continue
      for (const meter of this.of(name, now).meters) spend(meter, used[meter.unit] ?? 0, now)
    }
  }

  #meters(): SharedMeter[] {
    const { requests, tokens, concurrency, per, timeZone = 'UTC' } = this.#limits
    const meters: SharedMeter[] = []
    for (const [unit, limit] of [
      ['requests', requests],
      ['tokens', tokens],
    ] as const) {
      if (limit === undefined || per === undefined) continue
      const settings = { unit, limit, cost: undefined }
      meters.push(
        typeof per === 'number'
          ? new SlidingWindow(this.#openBook, { ...settings, per })
          : new CalendarWindow(this.#openBook, { ...settings, per }, timeZone, () => this.#clock.wallNow()),
      )
    }
    if (concurrency !== undefined) meters.push(new Concurrency(this.#openBook, concurrency))
    return meters
  }

  /** Makes room: of those that were here longest ago the first of whom nothing is counted any more, else the very first. */
  #forget(now: number): void {
    let first: string | undefined
    let looked = 0
    for (const [name, { meters, reserved }] of this.#tallies) {
      if (reserved.requests > 0) continue
      first ??= name
      const isIdle = meters.every(meter => meter.inUse(now) <= 0)
      if (isIdle) first = name
      if (isIdle || ++looked === LOOKED_AT) break
    }
    if (first !== undefined) this.#tallies.delete(first)
  }
}
