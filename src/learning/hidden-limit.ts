import type { OpenBook } from '../limiter/permit-book.js'
import { PacedBucket } from './paced-bucket.js'
import { ProbedWindow } from './probed-window.js'

/** The first wait after a refusal that doesn't say how long; a refusal that follows makes it longer, up to a bound. */
const BACKOFF = { first: 50, factor: 1.5, slowFrom: 1_000, slowFactor: 2, longest: 60_000 }
/** Waits from here on are those of a window, which is used up at once and comes back at once. In milliseconds. */
const WINDOW = 1_000
/** So many times as long as the time between requests is long. */
const LONG_BESIDE = 20
/** A shorter rest, in milliseconds, is that of a pace. */
const SHORTEST_WINDOW = 150
/** How long a window must be to be put to the test, how soon that is (a part of it), and at least, in milliseconds. */
const WORTH_PROBING = 4_000
const PROBES = 6
const SHORTEST_PROBE = 100
/** So many tests in a row that pass show that it is none. */
const PASSED_PROBES = 3
/** More refusals than this part of a window, and it is none. */
const SPOILT = 0.3
/** How much faster it goes after a time without refusals: by a little where two findings agree, by more where they don't. */
const GROWTH = { sure: 0.03, unsure: 0.15, most: 0.5, mostOfWindow: 0.1, steps: 4, patience: 16, forgottenAfter: 24 }
/** Fewer requests without a refusal tell nothing. */
const FEW = 8
/** What a pace is kept below what was found. */
const MARGIN = 0.98
/** How much of what was found before still counts. */
const MEMORY = 0.7
/** Two findings agree that differ by no more. */
const ALIKE = 0.2

/** A limit that was found out: so many requests in so much time, all at once or evenly spread. In milliseconds. */
export interface Finding {
  readonly kind: 'window' | 'pace'
  readonly units: number
  readonly per: number
}

/**
 * A limit that no field tells of, found out from refusals.
 *
 * Between one moment at which the server had nothing left and the next, it has let pass just what its limit is: so many
 * requests in so much time, whatever kind of limit it is. The first such stretch begins with an unknown store of
 * permits and counts for little.
 */
export class HiddenLimit {
  readonly #openBook: OpenBook
  /** What keeps the pace; `undefined` while nothing was found. */
  meter: PacedBucket | ProbedWindow | undefined
  /** The last moment at which the server had something again, and how many it had let pass until then. */
  #anchor: { readonly at: number; readonly passed: number } | undefined
  #refusal: { readonly at: number; readonly told: number | undefined } | undefined
  /** Refusals since a request last passed. */
  #misses = 0
  #lastMissAt = 0
  #missBeforeAt = 0
  #leastPer = 0
  /** What the window was before it last grew. */
  #beforeGrowth: { readonly per: number; readonly limit: number } | undefined
  #isFirst = true
  #rate = 0
  #found = { passed: 0, time: 0 }
  #growth: number = GROWTH.unsure
  #grown = 0
  #patience = 1
  /** Refusals since the window was found. */
  #refusedOfWindow = 0
  #probesPassed = 0
  #passedSince = 0

  constructor(openBook: OpenBook) {
    this.#openBook = openBook
  }

  /** What was found, as another process may go on with it; `undefined`: nothing yet. */
  get finding(): Finding | undefined {
    const { meter } = this
    if (meter instanceof ProbedWindow) return { kind: 'window', units: meter.limit, per: meter.per }
    return meter && { kind: 'pace', units: this.#rate, per: 1 }
  }

  /** Begins with what others have found, where nothing was found here. */
  adopt({ kind, units, per }: Finding, now: number): void {
    if (this.meter || !(units > 0)) return
    this.#isFirst = false
    if (kind === 'window') {
      const limit = Math.max(1, Math.floor(units))
      this.meter = new ProbedWindow(this.#openBook, { unit: 'requests', limit, per, cost: undefined })
    } else {
      this.#rate = units / per
      this.meter = new PacedBucket(this.#rate * MARGIN, now)
    }
  }

  /** A first request is sent. */
  begin(now: number): void {
    this.#anchor ??= { at: now, passed: 0 }
  }

  /**
   * The server has refused.
   *
   * @param told - how long it says to wait, in milliseconds
   * @param isNew - whether it was sent after the last refusal
   * @returns how long to wait where it doesn't say
   */
  refused(now: number, told: number | undefined, isNew: boolean): number {
    this.#refusedOfWindow++
    if (this.meter instanceof ProbedWindow && this.meter.probedAt !== undefined) {
      this.meter.grow(-1)
      this.meter.probed()
      this.meter.probeAfter *= 4
      this.#probesPassed = 0
    }
    if (isNew) {
      this.#misses++
      // The first of several in a row is the moment at which nothing was left.
      this.#refusal = { at: this.#refusal?.at ?? now, told }
      this.#missBeforeAt = this.#lastMissAt
      this.#lastMissAt = now
    }
    return this.#backoff()
  }

  /** A request is about to be sent, of which the server may say whether there is anything again. */
  beforeTake(now: number, passed: number): void {
    const told = this.#refusal?.told
    // Before that time, it is a request that finds out whether what was told is true.
    if (told !== undefined && now >= this.#lastMissAt + told) this.#reopened(this.#lastMissAt + told, passed, now)
  }

  /** A request has passed. */
  succeeded(sentAt: number, now: number, passed: number): void {
    if (this.#refusal && sentAt <= this.#lastMissAt) {
      // One that was on its way when another was refused says nothing of what is left now; but that something was there
      // between that refusal and the one before it, so that they are not one after another.
      if (sentAt > this.#missBeforeAt) this.#misses = Math.min(this.#misses, 1)
      return
    }
    if (this.meter instanceof ProbedWindow) this.#learnFromProbe(this.meter, sentAt)
    const told = this.#refusal?.told
    if (told !== undefined && now < this.#lastMissAt + told) {
      // It was not true: the stretch that it ended tells nothing.
      this.#refusal = undefined
      this.#anchor = { at: now, passed: passed - 1 }
    }
    // This one belongs to what begins with it.
    if (this.#refusal) this.#reopened(now, passed - 1, now)
    this.#misses = 0
    this.#speedUp()
  }

  #reopened(at: number, passed: number, now: number): void {
    const { told, at: refusedAt } = this.#refusal!
    const anchor = this.#anchor ?? { at, passed }
    const count = Math.max(0, passed - anchor.passed)
    const time = Math.max(1, at - anchor.at)
    const misses = this.#misses
    this.#refusal = undefined
    if (told !== undefined && misses > 1) {
      // It waited for as long as it was told, and was refused again: an outage, and no limit.
      this.#anchor = { at, passed }
      return
    }
    if (count === 0 && !(this.meter instanceof PacedBucket)) {
      // It was used up before the first request came: now it begins with nothing, which makes the next stretch count.
      this.#anchor = { at, passed }
      this.#isFirst = false
      return
    }
    const rest = told ?? this.#lastMissAt - refusedAt
    if (this.meter instanceof ProbedWindow && rest < this.meter.per / 2 && !this.#isSpoilt(this.meter)) {
      // What came back a little later than thought tells nothing of a window's size, but that it was not to grow.
      this.#shrinkBack(this.meter, rest)
      if (time > this.meter.per) this.#anchor = { at, passed }
      return
    }
    this.#anchor = { at, passed }
    // A wait that is long beside those between requests, or till then: what was used up comes back all at once.
    const spacing = (refusedAt - anchor.at) / Math.max(1, count)
    const isWindow =
      rest >= WINDOW ||
      (this.meter instanceof ProbedWindow && rest >= this.meter.per / 2) ||
      (this.#isFirst && rest >= SHORTEST_WINDOW && rest >= LONG_BESIDE * spacing)
    if (isWindow) {
      // Where nobody says it, the window has ended at some time after the last refusal.
      const isExact = told !== undefined && told % 1000 !== 0
      const least = told === undefined ? this.#lastMissAt - anchor.at : time
      this.#keepWindow({
        count,
        time,
        span: refusedAt - anchor.at,
        least: Math.max(1, least),
        isExact,
        isTold: told !== undefined,
      })
    } else this.#keepPace(count, time, told, now)
    this.#isFirst = false
    this.#grown = 0
    this.#passedSince = 0
  }

  /** @param found - what passed in what time; in what part of that it was used up; the least that the window can be */
  #keepWindow(found: {
    count: number
    time: number
    span: number
    least: number
    isTold: boolean
    isExact: boolean
  }): void {
    const { count, time, span, least, isTold, isExact } = found
    const before = this.meter instanceof ProbedWindow ? this.meter : undefined
    // The stretch may hold several windows, whose length is known from the first.
    const per = before && time > 1.5 * before.per ? before.per : time
    const limit = Math.max(1, Math.floor((count * per) / time))
    this.#leastPer = per === time ? least : per
    this.#agree(before && before.limit / before.per, limit / per)
    // What was counted till the refusal is the limit itself, and so is the window, unless it was rounded to seconds.
    if (isExact) this.#growth = GROWTH.sure
    const meter = new ProbedWindow(this.#openBook, { unit: 'requests', limit, per, cost: undefined })
    // A window that slides gives back what it took in the order, and at the pace, in which it was taken.
    meter.spread(this.#anchor!.at, Math.min(span, per / 2))
    // Where nobody says it, it may have been an outage that looked like one.
    if (!isTold && per >= WORTH_PROBING) meter.probeAfter = per / PROBES
    this.#probesPassed = 0
    this.meter = meter
    this.#refusedOfWindow = 0
  }

  #keepPace(count: number, time: number, told: number | undefined, now: number): void {
    const before = this.#rate === 0 ? undefined : this.#rate
    if (this.#isFirst) {
      // The next permit is never further off than one interval.
      this.#rate = Math.min(Math.max(1, count) / time, told ? 1 / told : Number.POSITIVE_INFINITY)
    } else {
      this.#found = { passed: this.#found.passed * MEMORY + count, time: this.#found.time * MEMORY + time }
      this.#rate = this.#found.passed > 0 ? this.#found.passed / this.#found.time : (this.#rate || 1 / time) / 2
    }
    this.#agree(before, this.#rate)
    const rate = this.#rate * MARGIN
    if (this.meter instanceof PacedBucket) this.meter.rate = rate
    else this.meter = new PacedBucket(rate, now)
  }

  /** One more than the window's limit has passed: it is no limit, or a larger one. */
  #learnFromProbe(meter: ProbedWindow, sentAt: number): void {
    if (meter.probedAt === undefined || sentAt < meter.probedAt) return
    meter.probed()
    if (++this.#probesPassed >= PASSED_PROBES) {
      // It was an outage, or it is over.
      this.#forget()
      return
    }
    meter.grow(meter.limit)
    meter.probeAfter = Math.max(SHORTEST_PROBE, meter.probeAfter / 2)
    this.#beforeGrowth = undefined
  }

  #forget(): void {
    this.meter = undefined
    this.#anchor = undefined
    this.#isFirst = true
    this.#rate = 0
    this.#found = { passed: 0, time: 0 }
  }

  /** A window that was taken for one and is none: bursts of its size are refused again and again. */
  #isSpoilt({ limit }: ProbedWindow): boolean {
    return this.#refusedOfWindow > Math.max(4, limit * SPOILT)
  }

  #shrinkBack(meter: ProbedWindow, rest: number): void {
    const before = this.#beforeGrowth
    if (before) {
      meter.resize(before.per)
      meter.grow(before.limit - meter.limit)
      this.#leastPer = before.per
      this.#patience = Math.min(GROWTH.patience, this.#patience * 2)
    } else {
      // It was a little too short all the while.
      this.#leastPer = meter.per + rest
      meter.resize(this.#leastPer)
    }
    this.#beforeGrowth = undefined
    this.#growth = GROWTH.sure
    this.#grown = 0
    this.#passedSince = 0
  }

  #agree(before: number | undefined, found: number): void {
    const alike = before !== undefined && Math.abs(found - before) <= ALIKE * before
    // What was found again and again need not be asked so often.
    this.#patience = alike ? Math.min(GROWTH.patience, this.#patience * 2) : 1
    this.#growth = alike ? GROWTH.sure : GROWTH.unsure
  }

  /** Goes a little faster after half a second's worth, or a window's worth, of requests without a refusal. */
  #speedUp(): void {
    const { meter } = this
    if (!meter) return
    const isWindow = meter instanceof ProbedWindow
    const usual = isWindow ? meter.limit * (this.#growth === GROWTH.sure ? 3 : 1) : this.#rate * 500
    // Once it goes faster, it goes on with that: the limit has changed.
    const enough = Math.max(
      FEW,
      this.#grown > 1 ? Math.min(usual, this.#rate * 500 || meter.limit) : usual * this.#patience,
    )
    if (++this.#passedSince < enough) return
    this.#passedSince = 0
    if (this.#grown >= GROWTH.forgottenAfter) {
      // What it was is long gone.
      this.#forget()
      return
    }
    const steps = Math.floor(this.#grown++ / (isWindow ? 1 : GROWTH.steps))
    // A window is used up in one burst: so much of it as it has grown too far is refused at once.
    const growth = Math.min(
      isWindow ? Math.max(GROWTH.mostOfWindow, this.#growth) : GROWTH.most,
      this.#growth * 2 ** steps,
    )
    if (isWindow) {
      this.#beforeGrowth = { per: meter.per, limit: meter.limit }
      const more = Math.floor(meter.limit * growth)
      if (meter.per > this.#leastPer) meter.resize(Math.max(this.#leastPer, meter.per * (1 - growth / 2)))
      else if (more >= 1) meter.grow(more)
      // One more would be too much of a few.
      else meter.resize(meter.per * (1 - growth))
    } else {
      this.#rate *= 1 + growth
      meter.rate = this.#rate
    }
  }

  #backoff(): number {
    const { first, factor, slowFrom, slowFactor, longest } = BACKOFF
    let wait = this.#rate > 0 ? Math.max(1, 1 / this.#rate) : first
    for (let miss = 1; miss < this.#misses && wait < longest; miss++) wait *= wait < slowFrom ? factor : slowFactor
    return Math.min(longest, Math.ceil(wait))
  }
}
