import type { Meter } from '../limiter/meter.js'
import type { LimitReading } from '../signals/limit-fields.js'
import type { FieldMeaning, Lessons } from './lessons.js'

/** A moment, as exactly as it is known, by our clock. */
interface Interval {
  readonly earliest: number
  readonly latest: number
}

/** After so long without any news, one more request is let go, in milliseconds: never starve. */
const NO_NEWS = 1_000
/** A wait that is longer than this is doubted, until one such was seen to be true: after so long. In milliseconds. */
const WORTH_DOUBTING = 10_000
const DOUBT = 2_000
/** So many requests that pass although nothing is left show that a field means nothing. */
const STRIKES = 3
/** A moment that is known this closely is known, in milliseconds. */
const EXACT = 20
/** What part of a limit must be back for it to be all. */
const ALL = 0.7
/** What part of a window is a moment. */
const SOON = 0.2
const FEW = 10
/** So far apart two clocks are no more than badly set, in milliseconds. */
const FAR_OFF = 600_000
/** A reset that is nearer than this need not be anticipated, in milliseconds. */
const WORTH_TESTING = 300
/** How much the newest finding counts for what a request weighs. */
const NEWEST = 0.3

/**
 * A limit that the server's own fields tell of.
 *
 * What a field says remained is true of the moment when the server counted that request. All that was on its way then,
 * and all that was sent since, comes off it: what is left is there for certain, whatever kind of limit it is. When more
 * comes is told by the window's length where that is said; else by the reset, of which it must be found out whether it
 * brings all or some.
 */
export class ToldWindow implements Meter {
  readonly unit: 'requests' | 'tokens'
  readonly cost = undefined
  limit: number
  per: number | undefined
  readonly #meaning: FieldMeaning
  readonly #lessons: Pick<Lessons, 'clock' | 'crew'>
  #left: number
  /** Where the window's length is known: what comes back when, the earliest first. */
  #returns: { at: number; weight: number }[] = []
  #reset: Interval | undefined
  /** Whether the reset is the moment at which all will be there, if nothing more is used; and what was used since. */
  #isUntilFull = false
  #since = 0
  /** When a reset was last acted on. */
  #resetAt = Number.POSITIVE_INFINITY
  /** A reset has passed, and no answer has told yet what it brought. */
  #resetPassed = false
  /** In units for each millisecond, where more comes bit by bit. */
  #flow = 0
  #flowAt: number
  /** When to find out, by one request, whether more comes bit by bit. */
  #testAt: number | undefined
  #isTest = false
  #testedAt = Number.POSITIVE_INFINITY
  /** Whether the next request is let go although nothing is left; and when the last such was. */
  #isDoubt = false
  #doubtedAt: number | undefined
  #strikes = 0
  #newsAt: number
  /** What a request weighs on average, in tokens. */
  #average = 1
  #last: { readonly remaining: number; readonly answered: number } | undefined

  constructor(reading: LimitReading, meaning: FieldMeaning, lessons: Pick<Lessons, 'clock' | 'crew'>, now: number) {
    this.unit = reading.unit
    this.limit = reading.limit ?? Number.POSITIVE_INFINITY
    this.per = reading.per
    this.#meaning = meaning
    this.#lessons = lessons
    this.#left = 0
    this.#newsAt = now
    this.#flowAt = now
  }

  get capacity(): number {
    // A request is never too heavy for a limit that was only read of.
    return Number.POSITIVE_INFINITY
  }

  /** Nothing is known of what a request will cost in tokens: what others did. */
  weightOf(): number {
    return this.unit === 'tokens' ? this.#average : 1
  }

  availableAt(weight: number, now: number, nextConfirm: number): number {
    if (this.#meaning.honest === 'no') return now
    this.#refill(now)
    if (this.#left >= weight) return now
    const at = Math.min(this.#comesBackAt(weight, now, nextConfirm), this.#newsAt + this.#patience())
    return Math.max(at, now + 1)
  }

  take(weight: number, now: number): void {
    this.#refill(now)
    if (this.#isTest) {
      this.#meaning.gradual = 'testing'
      this.#testedAt = now
      this.#isTest = false
    }
    if (this.#isDoubt) this.#doubtedAt = now
    this.#isDoubt = false
    this.#left -= weight
    this.#since += weight
    // Whatever let it go, it was let go: the next waits for news of its own.
    if (this.#left < 0) this.#left = 0
    this.#newsAt = now
  }

  confirm(weight: number, at: number): void {
    if (this.per !== undefined) this.#comesBack(weight, at + this.per)
  }

  undo(weight: number): void {
    this.#left += weight
    this.#since -= weight
  }

  end(): void {}

  /** A field that says that nothing is left, of a server that lets pass all the same, says nothing. */
  #judge({ remaining }: LimitReading, sentAt: number, passed: boolean): void {
    if (remaining > 0 || this.#meaning.honest !== 'unknown') return
    if (!passed) this.#meaning.honest = 'yes'
    else if (sentAt === this.#doubtedAt && ++this.#strikes >= STRIKES) this.#meaning.honest = 'no'
  }

  endsAt(): number | undefined {
    return this.#reset?.latest
  }

  supplyUntil(at: number, now: number): number {
    if (this.#meaning.honest === 'no') return Number.POSITIVE_INFINITY
    this.#refill(now)
    const backs = this.#returns.reduce((sum, each) => sum + (each.at <= at ? each.weight : 0), 0)
    const left = this.#left + (at - now) * this.#flow + backs
    const end = this.#reset?.latest
    if (end === undefined || at < end) return left
    const windows = this.per === undefined ? 1 : 1 + Math.floor((at - end) / this.per)
    return left + windows * this.limit
  }

  remaining(now: number): number {
    this.#refill(now)
    return Math.max(0, Math.floor(this.#left))
  }

  /**
   * An answer has come.
   *
   * @param ahead - how many requests the server may have counted after that one
   * @param answered - how many have been answered so far
   * @param sentAt - when its request was sent
   * @param passed - whether it was let pass
   */
  sync(reading: LimitReading, ahead: number, answered: number, sentAt: number, passed: boolean, now: number): void {
    this.#refill(now)
    this.limit = reading.limit ?? this.limit
    this.per = reading.per ?? this.per
    this.#newsAt = now
    const isFirst = this.#last === undefined
    this.#weigh(reading.remaining, answered)
    const certain = this.#partOf(Math.max(0, reading.remaining - ahead * this.weightOf()))
    this.#readReset(reading, ahead, now)
    if (sentAt >= this.#testedAt && this.#meaning.gradual === 'testing') {
      this.#meaning.gradual = passed ? 'yes' : 'no'
    }
    this.#judge(reading, sentAt, passed)
    if (!passed) {
      // What should all have been back was not.
      const isDenied = reading.remaining === 0 && sentAt >= this.#resetAt && this.per !== undefined
      if (isDenied && this.#meaning.resets === 'all') this.#meaning.resets = 'some'
      // Refused for this limit, or for another.
      this.#left = reading.remaining === 0 ? 0 : Math.min(this.#left, certain)
      return
    }
    if (this.#resetPassed) {
      this.#resetPassed = false
      const back = reading.remaining + ahead * this.weightOf()
      this.#meaning.resets = back >= ALL * this.limit ? 'all' : 'some'
    }
    if (certain > this.#left) {
      // Where what was taken would have come back bit by bit, so much at once is a window that has begun anew.
      if (!isFirst && this.#isNewWindow(certain, now)) this.#meaning.resets = 'all'
      this.#forgetReturns(certain - this.#left)
      this.#left = certain
    } else if (reading.remaining < this.#left) {
      // Someone else uses the key, or it was used before: what they have taken is theirs, till an answer shows more.
      this.#left = certain
    }
    this.#readFlow(reading, now)
  }

  /** Others read the same of their own answers: each may count on its part. */
  #partOf(remaining: number): number {
    const { size, rank } = this.#lessons.crew
    if (size <= 1) return remaining
    const each = this.weightOf()
    const part = remaining / size
    return part < each && remaining >= each * (rank + 1) ? each : part
  }

  /** How long until it is worth to ask again, in milliseconds; `undefined` where that is not known. */
  waitAt(now: number): number | undefined {
    return this.#reset && Math.max(1, this.#momentOf(this.#reset) - now)
  }

  #comesBackAt(weight: number, now: number, nextConfirm: number): number {
    if (this.#flow > 0) return now + Math.ceil((weight - this.#left) / this.#flow)
    let at = this.#testAt ?? Number.POSITIVE_INFINITY
    const reset = this.#countedOnReset
    if (reset) at = Math.min(at, this.#momentOf(reset))
    if (this.per === undefined) return at
    let left = this.#left
    for (const each of this.#returns) {
      left += each.weight
      if (left >= weight) return Math.min(at, each.at)
    }
    return Math.min(at, nextConfirm + this.per)
  }

  /** The reset, where it counts: what comes back is known without it where the window's length is, unless all does at once. */
  get #countedOnReset(): Interval | undefined {
    return this.per === undefined || this.#meaning.resets === 'all' ? this.#reset : undefined
  }

  /** When to act on a reset: at once where it is known exactly, else halfway, which is how it becomes known. */
  #momentOf({ earliest, latest }: Interval): number {
    return latest - earliest <= EXACT || this.#meaning.resets === 'some' ? latest : Math.ceil((earliest + latest) / 2)
  }

  #refill(now: number): void {
    while (this.#returns.length > 0 && this.#returns[0]!.at <= now) {
      this.#left = Math.min(this.limit, this.#left + this.#returns.shift()!.weight)
    }
    if (now > this.#flowAt) {
      if (this.#flow > 0) this.#left = Math.min(this.limit, this.#left + (now - this.#flowAt) * this.#flow)
      this.#flowAt = now
    }
    const reset = this.#countedOnReset
    if (reset && now >= this.#momentOf(reset)) this.#passReset(now)
    if (this.#left >= this.weightOf()) return
    this.#isTest = this.#testAt !== undefined && now >= this.#testAt
    if (this.#isTest || now >= this.#newsAt + this.#patience()) {
      this.#testAt = undefined
      // Nothing is left, and nobody says till when; or it is said, and was not yet seen to be true.
      const isEndless = this.#reset === undefined && this.per === undefined
      this.#isDoubt = isEndless || (this.#isDoubtful && now < this.#newsAt + this.#longPatience)
      this.#left = this.weightOf()
    }
  }

  #passReset(now: number): void {
    this.#resetAt = now
    const certain = now >= this.#reset!.latest
    this.#reset = undefined
    this.#resetPassed = certain
    if (certain && this.#meaning.resets === 'all' && Number.isFinite(this.limit)) {
      // A bucket that would have been full by now has been drawn on since that was said.
      this.#left = Math.max(this.#left, this.#partOf(this.limit) - (this.#isUntilFull ? this.#since : 0))
      this.#returns = []
    } else if (this.#left < this.weightOf()) this.#left = this.weightOf()
  }

  get #longPatience(): number {
    const untilReset = this.#reset ? this.#reset.latest - this.#newsAt : 0
    return Math.max(NO_NEWS, untilReset, this.per ?? 0)
  }

  /** What nobody has seen to be true is not waited for at length. */
  get #isDoubtful(): boolean {
    return this.#meaning.honest === 'unknown' && this.#longPatience > WORTH_DOUBTING
  }

  /** How long to wait without news before one request goes to look. */
  #patience(): number {
    return this.#isDoubtful ? DOUBT : this.#longPatience
  }

  #readReset({ reset }: LimitReading, ahead: number, now: number): void {
    if (!reset) return
    const next = this.#intervalOf(reset, now)
    if (next.latest <= now) return
    const before = this.#reset
    const isSame = before !== undefined && next.earliest <= before.latest && before.earliest <= next.latest
    this.#isUntilFull = reset.gradual
    this.#since = ahead * this.weightOf()
    // The same moment, told twice, is known better.
    this.#reset = isSame
      ? { earliest: Math.max(before.earliest, next.earliest), latest: Math.min(before.latest, next.latest) }
      : next
  }

  #intervalOf(reset: NonNullable<LimitReading['reset']>, now: number): Interval {
    if (reset.kind === 'moment') {
      const byServer = this.#lessons.clock.toLocal(reset.at)
      // A `Date` that is far off, beside a moment that is not: whichever comes sooner, as it is found out if that was wrong.
      const isFarOff = reset.at > now && reset.at < byServer.earliest - FAR_OFF
      return isFarOff ? { earliest: reset.at, latest: reset.at } : byServer
    }
    return { earliest: now + reset.wait - (reset.coarse ? 1000 : 0), latest: now + reset.wait }
  }

  /** A bucket is full again so much later as more is missing: that tells how fast it fills. */
  #readFlow({ reset, remaining }: LimitReading, now: number): void {
    const used = this.limit - remaining
    this.#flow = 0
    this.#testAt = undefined
    if (!reset?.gradual || !this.#reset || !(used > 0) || !Number.isFinite(used)) return
    const wait = this.#reset.latest - now
    if (wait <= 0) return
    if (this.#meaning.gradual === 'yes') this.#flow = used / wait
    else if (this.#meaning.gradual === 'unknown' && wait > WORTH_TESTING && this.#left < this.weightOf()) {
      this.#testAt = now + Math.ceil(Math.max(50, (2 * wait * this.weightOf()) / used))
    }
  }

  #weigh(remaining: number, answered: number): void {
    const last = this.#last
    this.#last = { remaining, answered }
    if (this.unit !== 'tokens' || !last || answered <= last.answered || remaining >= last.remaining) return
    const each = (last.remaining - remaining) / (answered - last.answered)
    this.#average += (each - this.#average) * (this.#average === 1 ? 1 : NEWEST)
  }

  #comesBack(weight: number, at: number): void {
    let index = this.#returns.length
    while (index > 0 && this.#returns[index - 1]!.at > at) index--
    const before = this.#returns[index - 1]
    if (before && at - before.at < 1) before.weight += weight
    else this.#returns.splice(index, 0, { at, weight })
  }

  /** Whether so much is there that it can't have come back bit by bit: then resets bring all. Of a few it can't be told. */
  #isNewWindow(certain: number, now: number): boolean {
    if (this.#meaning.resets !== 'unknown' || this.limit < FEW) return false
    return certain - this.#left - this.#aboutToReturn(now) >= ALL * this.limit
  }

  /** What would come back by itself about now; the server may be a little ahead with that. */
  #aboutToReturn(now: number): number {
    if (this.per === undefined) return Number.POSITIVE_INFINITY
    const soon = now + this.per * SOON
    return this.#returns.reduce((sum, each) => sum + (each.at <= soon ? each.weight : 0), 0)
  }

  /** What is there already does not come back once more. */
  #forgetReturns(weight: number): void {
    let left = weight
    while (left > 0 && this.#returns.length > 0) {
      const first = this.#returns[0]!
      const part = Math.min(left, first.weight)
      first.weight -= part
      left -= part
      if (first.weight <= 0) this.#returns.shift()
    }
  }
}
