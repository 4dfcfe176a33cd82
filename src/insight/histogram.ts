/** How a duration was distributed lately, in milliseconds; all `0` where there was none. */
export interface Percentiles {
  readonly count: number
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

/** Buckets grow by a quarter each, from a millisecond to more than a day: percentiles are exact to about 12%. */
const GROWTH = 1.25
const BUCKETS = 84
const LOG_GROWTH = Math.log(GROWTH)
const NONE: ReadonlyMap<number, number> = new Map()
/** What is recent: this stretch, and the one before it. In milliseconds. */
const STRETCH = 300_000

/** Durations of the last five to ten minutes: as many buckets as there were kinds of durations. */
export class Histogram {
  #current = new Map<number, number>()
  #before: ReadonlyMap<number, number> = NONE
  #currentMax = 0
  #beforeMax = 0
  #startedAt = 0

  add(milliseconds: number, now: number): void {
    this.#roll(now)
    const bucket = milliseconds < 1 ? 0 : Math.min(BUCKETS - 1, 1 + Math.floor(Math.log(milliseconds) / LOG_GROWTH))
    this.#current.set(bucket, (this.#current.get(bucket) ?? 0) + 1)
    if (milliseconds > this.#currentMax) this.#currentMax = milliseconds
  }

  read(now: number): Percentiles {
    this.#roll(now)
    const counts = Array.from({ length: BUCKETS }, (_, bucket) => {
      return (this.#current.get(bucket) ?? 0) + (this.#before.get(bucket) ?? 0)
    })
    const count = counts.reduce((sum, each) => sum + each, 0)
    const max = Math.max(this.#currentMax, this.#beforeMax)
    const at = (share: number) => {
      let left = Math.ceil(count * share)
      if (left === 0) return 0
      const index = counts.findIndex(each => {
        left -= each
        return left <= 0
      })
      // The middle of the bucket, by its own measure.
      return index === 0 ? 0 : Math.min(max, Math.round(GROWTH ** (index - 0.5)))
    }
    return { count, p50: at(0.5), p95: at(0.95), p99: at(0.99), max: Math.round(max) }
  }

  #roll(now: number): void {
    if (now - this.#startedAt < STRETCH) return
    const isNext = now - this.#startedAt < 2 * STRETCH
    this.#before = isNext ? this.#current : NONE
    this.#beforeMax = isNext ? this.#currentMax : 0
    this.#current = new Map()
    this.#currentMax = 0
    this.#startedAt = now
  }
}
