import type { SharedMeter } from '../limiter/meter.js'

/** Of what is in use, so much more is wanted, so that it need not be asked for again and again. */
const HEADROOM = 1.25
/** How much the newest measure of a bucket's use counts. */
const NEWEST = 0.5
/** What is wanted less than this part of what is held, is given back without being asked. */
const TOO_MUCH = 0.5

/** What is asked for one limit, as the script reads it. Times are by Redis' clock. */
export interface Claim {
  /** The limit's name. */
  readonly k: string
  /** How many units there are, and how many flow in each millisecond (0: it is no bucket). */
  readonly n: number
  readonly r: number
  /** How long a used unit is gone, in milliseconds, or till when. */
  readonly p: number
  readonly e: number | undefined
  /** What is held, wanted, needed at least, and in use. */
  readonly h: number
  readonly w: number
  readonly m: number
  readonly x: number
  /** When the first unit in use comes back; `undefined`: at any moment. */
  readonly o: number | undefined
}

/** What is granted: how much may be held, how full what is new of it, how much is free elsewhere, and when more may be. */
export type Granted = readonly [units: number, content: number, elsewhere: number, moreAt: number | false]

/** What a process needs of a limit now. */
export interface Need {
  /** How many units those need that wait. */
  readonly waiting: number
  /** The weight of the first of them; 1 where nobody waits. */
  readonly weight: number
  /** Whether nothing was asked of it for a while. */
  readonly isIdle: boolean
}

/** The part of one limit that this process holds. */
export class Holding {
  readonly meter: SharedMeter
  readonly name: string
  /** What was held when it was last told. */
  #told = 0
  #wanted = 0
  /** Whether it has never had any. */
  #isNew = true
  /** More was wanted than could be had: asking again is no use till there is news. */
  isDenied = false
  /** Units of a bucket that are used in each millisecond. */
  #rate = 0
  #level = 0
  #measuredAt: number

  /** @param place - which of a quota's limits it is, of those that are of one kind */
  constructor(meter: SharedMeter, place: number, now: number) {
    this.meter = meter
    this.name = `${kindOf(meter)} ${place}`
    this.#measuredAt = now
    // Nothing is ours before the others have agreed.
    meter.allot(0, 0, now)
    meter.moreAt = 0
    meter.elsewhere = meter.shape.units
  }

  /** Things have changed: it is worth to ask again. */
  nudged(): void {
    this.isDenied = false
    if (this.meter.allotted < this.meter.shape.units) this.meter.moreAt = 0
  }

  /** What is wanted now; remembered as the last wish. */
  want({ waiting, weight, isIdle }: Need, now: number): number {
    const { meter } = this
    const { units, flow } = meter.shape
    if (flow > 0) this.#measure(now)
    const used = flow > 0 ? (this.#rate / flow) * units : meter.inUse(now)
    const wanted = isIdle ? 0 : Math.max(weight, used * HEADROOM + waiting)
    this.#wanted = Math.min(units, flow > 0 ? wanted : Math.ceil(wanted))
    return this.#wanted
  }

  /** Whether asking now may bring more. */
  get isHungry(): boolean {
    return !this.isDenied && this.#wanted > this.meter.allotted + this.#slight
  }

  /** Whether units have become free that others are to have. */
  mayRelease(now: number): boolean {
    return this.meter.held(now) < this.#told - this.#slight
  }

  /** Gives back what is far more than wanted. */
  trim(now: number): void {
    if (this.#wanted < this.meter.allotted * TOO_MUCH) this.#shrinkTo(Math.max(this.#wanted, 0), now)
  }

  claim(weight: number, now: number, toRedis: (at: number) => number): Claim {
    const { meter } = this
    const { units, flow, per } = meter.shape
    this.#told = meter.held(now)
    const endsAt = per === undefined && flow === 0 ? meter.endsAt?.(now) : undefined
    const backAt = meter.backAt(now)
    return {
      ...{ k: this.name, n: units, r: flow, p: per ?? 0, e: endsAt && toRedis(endsAt) },
      ...{ h: this.#told, w: this.#wanted, m: Math.min(weight, units), x: Math.min(this.#told, meter.inUse(now)) },
      o: backAt && toRedis(backAt),
    }
  }

  /** @returns whether more may pass now */
  granted([units, content, elsewhere, moreAt]: Granted, now: number, toLocal: (at: number) => number): boolean {
    const { meter } = this
    const more = units - this.#told
    if (more > 0) {
      this.meter.allot(meter.allotted + more, content, now)
      this.#level += content
      this.#told = units
      this.#isNew = false
    } else if (more < 0) this.#shrinkTo(units, now)
    meter.elsewhere = elsewhere
    this.isDenied = meter.allotted + this.#slight < this.#wanted
    const isAll = meter.allotted >= meter.shape.units
    if (isAll || (this.isDenied && moreAt === false)) meter.moreAt = Number.POSITIVE_INFINITY
    else meter.moreAt = this.isDenied ? toLocal(moreAt as number) : 0
    return more > 0
  }

  /**
   * Goes on without the others' word, with what a process may have of it whatever they do: its part of the limit, but no
   * more of a window that is under way than its part of what was left of it.
   */
  standAlone(processes: number, weight: number, now: number, isSettled: boolean): void {
    const { meter } = this
    const { units, per, flow, kind } = meter.shape
    const inUse = flow > 0 ? 0 : meter.inUse(now)
    const left = this.#isNew ? units : Math.max(0, meter.allotted - inUse) + meter.elsewhere
    const ofWhatIsLeft = inUse + left / processes
    // What others had used of a window comes back to them: then each may have its part of the whole.
    const isOver = kind === 'concurrency' || kind === 'bucket' || (isSettled && per !== undefined)
    const share = isOver ? units / processes : Math.min(units / processes, ofWhatIsLeft)
    // Less than one request's worth would be nothing, for as long as it lasts.
    const least = Math.min(units, Math.max(1, weight))
    const allotted = Math.max(least, flow > 0 ? share : Math.floor(kind === 'calendar' ? ofWhatIsLeft : share))
    meter.allot(allotted, this.#isNew ? allotted : 0, now)
    this.#isNew = false
    meter.elsewhere = 0
    meter.moreAt = Number.POSITIVE_INFINITY
  }

  /** Others have taken it to be dead: what it held is theirs. */
  lapse(now: number): void {
    this.#shrinkTo(Math.max(0, this.meter.inUse(now)), now)
  }

  #shrinkTo(units: number, now: number): void {
    if (units < this.meter.allotted) this.meter.allot(units, 0, now)
  }

  /** A difference that is not worth a word. */
  get #slight(): number {
    const { units, flow } = this.meter.shape
    return flow > 0 ? units * 0.02 : 0.5
  }

  #measure(now: number): void {
    const elapsed = now - this.#measuredAt
    if (elapsed < 50) return
    const { meter } = this
    const { units, flow } = meter.shape
    const level = meter.allotted - meter.inUse(now)
    const inflow = level >= meter.allotted - 1e-6 ? 0 : (elapsed * flow * meter.allotted) / units
    const used = Math.max(0, this.#level - level + inflow)
    this.#rate += (used / elapsed - this.#rate) * NEWEST
    this.#level = level
    this.#measuredAt = now
  }
}

/** What limits of several processes have in common that are the same one. */
export function kindOf({ shape: { kind, unit }, per }: SharedMeter): string {
  return `${kind} ${unit} ${per ?? ''}`
}
