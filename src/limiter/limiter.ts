import type { Finding } from '../learning/hidden-limit.js'
import type { Learner, Ticket } from '../learning/learner.js'
import type { LimitReading } from '../signals/limit-fields.js'
import type { Departing } from './departures.js'
import type { Meter, SharedMeter } from './meter.js'
import { movingAverage } from './moving-average.js'
import type { Transit } from './transit.js'

/** What a request weighs: one request, and so many tokens as each limit's own `cost` says. */
export type Weigh = (meter: Pick<Meter, 'unit' | 'cost'>) => number

/** The right to send one request; every permit is ended exactly once, or undone. */
export interface Permit {
  /** It is being sent now. */
  leaves(): void
  /** The server has counted it: an answer, or a failure, is there. */
  answered(): void
  /** The server has let it pass, and told of limits in its fields. */
  passed(readings: readonly LimitReading[]): void
  /**
   * The server has refused it for a limit.
   *
   * @param told - how long it says to wait, in milliseconds
   * @returns how long to wait, as far as that is known better, or at all
   */
  refused(told: number | undefined, readings: readonly LimitReading[]): number
  /** It has taken so many tokens, whatever was reserved for it. */
  settle(tokens: number): void
  /** Whether the program's own `cost` has reserved tokens for it. */
  readonly hasReservedByCost: boolean
  /** How many tokens are reserved for it, by the limit that reserves most; `undefined`: no limit counts them. */
  readonly reservedTokens: number | undefined
  /** It is over: its response was received in whole, or dropped. */
  end(): void
  /** It was never sent: everything is given back. */
  undo(): void
}

/** Makes a learner, which tells the meters that it has learnt whenever others are. */
export type CreateLearner = (changed: (meters: readonly Meter[]) => void) => Learner

/** How long a request is taken to be on its way when no answer has come: usually, and at most, in milliseconds. */
const SLACK = { shortest: 3, usual: 250, longest: 500 }

export interface LimiterHost {
  now(): number
  /** Milliseconds since the epoch, by the system's clock: for calendars. */
  wallNow(): number
  readonly transit: Transit
  /** See `departures`. */
  depart(departing: Departing): void
  /** Something has changed that may let a request pass earlier than was said. */
  changed(): void
}

/**
 * All limits of one quota together: a request passes when each of them lets it.
 *
 * A fast answer says by when the server had counted a request. A language model answers after many seconds: there,
 * a request is taken as counted when it has been gone for `slack`, so that a slow API's limits are used in full.
 */
export class Limiter {
  /** The limits that the user has declared. */
  readonly declared: readonly SharedMeter[]
  readonly #host: LimiterHost
  readonly #learner: Learner
  #meters: readonly Meter[]
  #longestSlack = 0
  /** How long it takes on average until the server has counted a request, in milliseconds. */
  #lag = 0
  #slack = 0
  // The permits that are not confirmed yet, oldest first.
  #oldest: LimiterPermit | undefined
  #newest: LimiterPermit | undefined

  constructor(declared: readonly SharedMeter[], host: LimiterHost, createLearner: CreateLearner) {
    this.declared = declared
    this.#host = host
    this.#meters = declared
    this.#learner = createLearner(learnt => {
      this.#meters = [...declared, ...learnt]
      this.#measure()
    })
    this.#measure()
  }

  /** What was found out of a limit that nobody declared. */
  get finding(): Finding | undefined {
    return this.#learner.finding
  }

  /** Begins with what other processes have found out, where none was declared. */
  adopt(finding: Finding): void {
    if (this.declared.length > 0) return
    this.#learner.adopt(finding, this.#host.now())
    this.#host.changed()
  }

  /** All that is counted: the declared limits, then those that were learnt. */
  get meters(): readonly Meter[] {
    return this.#meters
  }

  #measure(): void {
    const narrowest = Math.min(Number.POSITIVE_INFINITY, ...this.#meters.map(room))
    this.#slack = Math.min(SLACK.usual, Math.max(SLACK.shortest, narrowest / 40))
    this.#longestSlack = Math.min(SLACK.longest, Math.max(this.#slack, narrowest / 3))
  }

  /** From when a request may pass: `now` if at once, `Infinity` if only the end of another can make room. */
  availableAt(weigh: Weigh, now: number): number {
    let at = this.#learner.availableAt(now)
    if (this.#meters.length === 0) return at
    this.#confirmGone(now)
    const next = this.#nextConfirm(now)
    for (const meter of this.#meters) {
      const open = meter.availableAt(weightOf(meter, weigh), now, next)
      if (open > at) at = open
    }
    return at
  }

  /** How many requests of a weight it will have let pass until then, if so many are asked for: as far as can be told. */
  supplyUntil(at: number, weigh: Weigh, now: number): number {
    let supply = Number.POSITIVE_INFINITY
    for (const meter of this.#meters) {
      const weight = weightOf(meter, weigh)
      if (weight > 0) supply = Math.min(supply, meter.supplyUntil(at, now, this.#lag) / weight)
    }
    return supply
  }

  /** Whether what is missing may be had of other processes at once. */
  mayAskOthers(now: number): boolean {
    return this.declared.some(({ moreAt }) => moreAt <= now) && this.declared.every(meter => meter.remaining(now) > 0)
  }

  /** The limits with what is left of each now. */
  read(now: number): { readonly meter: Meter; readonly remaining: number; readonly learnt: boolean }[] {
    this.#confirmGone(now)
    const { length } = this.declared
    return this.#meters.map((meter, index) => ({ meter, remaining: meter.remaining(now), learnt: index >= length }))
  }

  /** Whether a request of this weight could ever pass. */
  couldPass(weigh: Weigh): boolean {
    return this.declared.every(meter => weigh(meter) <= meter.capacity)
  }

  /** Takes a permit if there is one now. */
  tryAcquire(weigh: Weigh, now: number): Permit | undefined {
    if (this.availableAt(weigh, now) > now) return undefined
    const ticket = this.#learner.take(now)
    const meters = this.#meters
    const weights = meters.map(meter => weightOf(meter, weigh))
    const permit = new LimiterPermit(this, meters, weights, ticket, now)
    if (meters.length === 0) {
      permit.linked = false
      return permit
    }
    meters.forEach((meter, index) => {
      meter.take(weights[index]!, now)
    })
    permit.previous = this.#newest
    if (this.#newest) this.#newest.next = permit
    else this.#oldest = permit
    this.#newest = permit
    return permit
  }

  /** @internal */
  passed({ ticket }: LimiterPermit, readings: readonly LimitReading[]): void {
    this.#learner.passed(ticket, readings, this.#host.now())
    // Else the end of the request, which is there too, tells of the change.
    if (this.declared.some(({ unit }) => unit === 'concurrency')) this.#host.changed()
  }

  /** @internal */
  refusedFor({ ticket }: LimiterPermit, told: number | undefined, readings: readonly LimitReading[]): number {
    return this.#learner.refused(ticket, told, readings, this.#host.now())
  }

  /** The server refused what should have passed: requests take longer to arrive than thought. */
  refused(): void {
    this.#slack = Math.min(this.#longestSlack, this.#slack * 2)
  }

  /** @internal */
  departed(at: number): void {
    this.#host.transit.departed(at)
  }

  /** @internal */
  now(): number {
    return this.#host.now()
  }

  /** @internal */
  leaves(permit: LimiterPermit): void {
    this.#host.depart(permit)
  }

  /** @internal */
  confirm(permit: LimiterPermit, at: number): void {
    this.#unlink(permit)
    permit.confirmedAt = at
    this.#lag = movingAverage(this.#lag, at - permit.takenAt)
    permit.meters.forEach((meter, index) => {
      meter.confirm(permit.weights[index]!, at)
    })
  }

  /** @internal */
  settle({ meters, weights, confirmedAt }: LimiterPermit, tokens: number): void {
    if (confirmedAt === undefined) return
    const now = this.#host.now()
    meters.forEach((meter, index) => {
      // Whatever was told, more than all of a limit cannot have been taken of it.
      if (meter.unit !== 'tokens' || !isSettledBy(meter, tokens)) return
      meter.settle?.(weights[index]!, Math.min(tokens, meter.limit), confirmedAt, now)
    })
    this.#host.changed()
  }

  /** @internal */
  answered(permit: LimiterPermit): void {
    const now = this.#host.now()
    this.#confirmGone(now)
    // The clock's milliseconds are rounded down: the true moment may be almost one later.
    if (permit.linked) this.confirm(permit, now + 1)
    this.#host.changed()
  }

  /** @internal */
  end(permit: LimiterPermit): void {
    const now = this.#host.now()
    this.#learner.ended(permit.ticket)
    permit.meters.forEach((meter, index) => {
      meter.end(permit.weights[index]!, now - permit.takenAt)
    })
    this.#host.changed()
  }

  /** @internal */
  undo(permit: LimiterPermit): void {
    const now = this.#host.now()
    this.#learner.undo(permit.ticket)
    if (permit.linked) this.#unlink(permit)
    permit.meters.forEach((meter, index) => {
      meter.undo(permit.weights[index]!, now)
    })
    this.#host.changed()
  }

  #unlink(permit: LimiterPermit): void {
    if (permit.previous) permit.previous.next = permit.next
    else this.#oldest = permit.next
    if (permit.next) permit.next.previous = permit.previous
    else this.#newest = permit.previous
    permit.previous = permit.next = undefined
    permit.linked = false
  }

  #confirmGone(now: number): void {
    for (let permit = this.#oldest; permit?.departedAt !== undefined; permit = this.#oldest) {
      const at = permit.departedAt + this.#slackOf(permit.departedAt)
      if (at > now) return
      this.confirm(permit, at)
    }
  }

  #nextConfirm(now: number): number {
    if (!this.#oldest) return Number.POSITIVE_INFINITY
    const departedAt = this.#oldest.departedAt ?? now
    return Math.max(now + 1, departedAt + this.#slackOf(departedAt))
  }

  #slackOf(departedAt: number): number {
    return Math.ceil(Math.min(this.#longestSlack, this.#host.transit.slack(departedAt, this.#slack))) + 1
  }
}

class LimiterPermit implements Permit, Departing {
  readonly meters: readonly Meter[]
  readonly weights: readonly number[]
  readonly ticket: Ticket
  readonly takenAt: number
  readonly #limiter: Limiter
  previous: LimiterPermit | undefined
  next: LimiterPermit | undefined
  departedAt: number | undefined
  /** By when the server had counted it. */
  confirmedAt: number | undefined
  linked = true
  #over = false

  constructor(limiter: Limiter, meters: readonly Meter[], weights: readonly number[], ticket: Ticket, takenAt: number) {
    this.#limiter = limiter
    this.meters = meters
    this.weights = weights
    this.ticket = ticket
    this.takenAt = takenAt
  }

  departed(at: number): void {
    this.departedAt = at
    this.#limiter.departed(at)
  }

  get hasReservedByCost(): boolean {
    return this.meters.some(
      ({ unit, cost }, index) => unit === 'tokens' && cost !== undefined && this.weights[index]! > 0,
    )
  }

  get reservedTokens(): number | undefined {
    let most: number | undefined
    this.meters.forEach(({ unit }, index) => {
      if (unit === 'tokens') most = Math.max(most ?? 0, this.weights[index]!)
    })
    return most
  }

  leaves(): void {
    if (this.meters.length > 0) this.#limiter.leaves(this)
  }

  passed(readings: readonly LimitReading[]): void {
    this.#limiter.passed(this, readings)
  }

  refused(told: number | undefined, readings: readonly LimitReading[]): number {
    return this.#limiter.refusedFor(this, told, readings)
  }

  answered(): void {
    if (this.linked && !this.#over) this.#limiter.answered(this)
  }

  settle(tokens: number): void {
    this.#limiter.settle(this, tokens)
  }

  end(): void {
    if (this.#over) return
    this.#over = true
    // Ended without an answer (an abort): the server may have counted it all the same, some time before long.
    this.departedAt ??= this.linked ? this.#limiter.now() : undefined
    this.#limiter.end(this)
  }

  undo(): void {
    if (this.#over) return
    this.#over = true
    this.#limiter.undo(this)
  }
}

function weightOf(meter: Meter, weigh: Weigh): number {
  return meter.weightOf ? meter.weightOf() : weigh(meter)
}

/** How much a delay matters to a meter: its window, or the time in which a bucket's burst flows in again. */
function room({ per, capacity, limit }: Meter): number {
  if (typeof per !== 'number') return Number.POSITIVE_INFINITY
  // A bucket is left with too little to work with when much of its burst is thought to be on its way.
  return capacity === limit ? per : Math.min(per, (capacity / limit) * per * 2)
}

/**
 * Whether a limit counts what responses call tokens. One whose `cost` is the program's own may count something else, cents
 * say: it does where a response that was served took more than all of it.
 */
function isSettledBy({ cost, limit, settles }: Meter, tokens: number): boolean {
  return settles !== false && (cost === undefined || tokens <= limit)
}
