import type { Departing } from './departures.js'
import type { Meter } from './meter.js'
import type { Transit } from './transit.js'

/** What a request weighs: one request, and so many tokens as each limit's own `cost` says. */
export type Weigh = (meter: Pick<Meter, 'unit' | 'cost'>) => number

/** The right to send one request; every permit is ended exactly once, or undone. */
export interface Permit {
  /** It is being sent now. */
  leaves(): void
  /** The server has counted it: an answer, or a failure, is there. */
  answered(): void
  /** It is over: its response was received in whole, or dropped. */
  end(): void
  /** It was never sent: everything is given back. */
  undo(): void
}

/** How long a request is taken to be on its way when no answer has come: usually, and at most, in milliseconds. */
const SLACK = { shortest: 3, usual: 250, longest: 500 }

export interface LimiterHost {
  now(): number
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
  readonly meters: readonly Meter[]
  readonly #host: LimiterHost
  readonly #longestSlack: number
  #slack: number
  // The permits that are not confirmed yet, oldest first.
  #oldest: LimiterPermit | undefined
  #newest: LimiterPermit | undefined

  constructor(meters: readonly Meter[], host: LimiterHost) {
    this.meters = meters
    this.#host = host
    const narrowest = Math.min(Number.POSITIVE_INFINITY, ...meters.map(room))
    this.#slack = Math.min(SLACK.usual, Math.max(SLACK.shortest, narrowest / 40))
    this.#longestSlack = Math.min(SLACK.longest, Math.max(this.#slack, narrowest / 3))
  }

  /** From when a request may pass: `now` if at once, `Infinity` if only the end of another can make room. */
  availableAt(weigh: Weigh, now: number): number {
    if (this.meters.length === 0) return now
    this.#confirmGone(now)
    const next = this.#nextConfirm(now)
    let at = now
    for (const meter of this.meters) {
      const open = meter.availableAt(weigh(meter), now, next)
      if (open > at) at = open
    }
    return at
  }

  /** The limits with what is left of each now. */
  read(now: number): { readonly meter: Meter; readonly remaining: number }[] {
    this.#confirmGone(now)
    return this.meters.map(meter => ({ meter, remaining: meter.remaining(now) }))
  }

  /** Whether a request of this weight could ever pass. */
  couldPass(weigh: Weigh): boolean {
    return this.meters.every(meter => weigh(meter) <= meter.capacity)
  }

  /** Takes a permit if there is one now. */
  tryAcquire(weigh: Weigh, now: number): Permit | undefined {
    if (this.meters.length === 0) return FREE
    if (this.availableAt(weigh, now) > now) return undefined
    const permit = new LimiterPermit(this, this.meters.map(weigh))
    this.meters.forEach((meter, index) => {
      meter.take(permit.weights[index]!, now)
    })
    permit.previous = this.#newest
    if (this.#newest) this.#newest.next = permit
    else this.#oldest = permit
    this.#newest = permit
    return permit
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
    this.meters.forEach((meter, index) => {
      meter.confirm(permit.weights[index]!, at)
    })
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
    this.meters.forEach((meter, index) => {
      meter.end(permit.weights[index]!)
    })
    this.#host.changed()
  }

  /** @internal */
  undo(permit: LimiterPermit): void {
    const now = this.#host.now()
    this.#unlink(permit)
    this.meters.forEach((meter, index) => {
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
  readonly weights: readonly number[]
  readonly #limiter: Limiter
  previous: LimiterPermit | undefined
  next: LimiterPermit | undefined
  departedAt: number | undefined
  linked = true
  #over = false

  constructor(limiter: Limiter, weights: readonly number[]) {
    this.#limiter = limiter
    this.weights = weights
  }

  departed(at: number): void {
    this.departedAt = at
    this.#limiter.departed(at)
  }

  leaves(): void {
    this.#limiter.leaves(this)
  }

  answered(): void {
    if (this.linked && !this.#over) this.#limiter.answered(this)
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
    if (this.linked) this.#limiter.undo(this)
  }
}

/** The permit of a quota without limits. */
const FREE: Permit = { leaves() {}, answered() {}, end() {}, undo() {} }

/** How much a delay matters to a meter: its window, or the time in which a bucket's burst flows in again. */
function room({ per, capacity, limit }: Meter): number {
  if (typeof per !== 'number') return Number.POSITIVE_INFINITY
  // A bucket is left with too little to work with when much of its burst is thought to be on its way.
  return capacity === limit ? per : Math.min(per, (capacity / limit) * per * 2)
}
