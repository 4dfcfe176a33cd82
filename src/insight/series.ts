import type { Moment } from '../clock.js'

/** What is counted over time. */
export const METRICS = [
  'calls',
  'attempts',
  'passed',
  'refused',
  'limited',
  'troubled',
  'cacheHits',
  'tokens',
  'turnedAway',
] as const
export type Metric = (typeof METRICS)[number]

/** The numbers of one second, minute or hour. */
export type SeriesPoint = Readonly<Record<Metric, number>> & {
  /** When it began. */
  readonly at: Date
}

/** The last minute by the second, the last hour by the minute, the last two days by the hour; the oldest first. */
export interface Series {
  readonly seconds: readonly SeriesPoint[]
  readonly minutes: readonly SeriesPoint[]
  readonly hours: readonly SeriesPoint[]
}

const SPANS = [
  ['seconds', 1_000, 60],
  ['minutes', 60_000, 60],
  ['hours', 3_600_000, 48],
] as const

/** Counts over time, each span in as many points as it has at most: a count costs three additions. */
export class SeriesCounter {
  readonly #rings = SPANS.map(([, step, size]) => new Ring(step, size))

  add(metric: Metric, count: number, now: number): void {
    const index = METRICS.indexOf(metric)
    for (const ring of this.#rings) ring.add(index, count, now)
  }

  read(moment: Moment): Series {
    const [seconds, minutes, hours] = this.#rings.map(ring => ring.read(moment))
    return { seconds: seconds!, minutes: minutes!, hours: hours! }
  }

  /** The sum of a metric over the last minutes, up to an hour. */
  lastMinutes(metric: Metric, minutes: number, now: number): number {
    return this.#rings[1]!.sum(METRICS.indexOf(metric), minutes, now)
  }
}

/**
 * The last `size` steps, those in which something was counted: many keys are hardly ever used, and must not take the room
 * of those that are used all the time.
 */
class Ring {
  readonly #step: number
  readonly #size: number
  /** By the number of the step, the oldest first. */
  readonly #points = new Map<number, number[]>()
  #latest: { readonly step: number; readonly counts: number[] } | undefined

  constructor(step: number, size: number) {
    this.#step = step
    this.#size = size
  }

  add(metric: number, count: number, now: number): void {
    const step = Math.floor(now / this.#step)
    if (this.#latest?.step !== step) this.#latest = { step, counts: this.#countsOf(step) }
    this.#latest.counts[metric]! += count
  }

  read({ now, wall }: Moment): SeriesPoint[] {
    // Steps begin with whole seconds, whatever the clocks' own fractions.
    const offset = Math.round((wall - now) / 1000) * 1000
    const last = Math.floor(now / this.#step)
    const points: SeriesPoint[] = []
    for (const [step, counts] of this.#points) {
      if (step <= last - this.#size || step > last) continue
      const named = METRICS.map((name, index) => [name, counts[index]!])
      points.push({ at: new Date(step * this.#step + offset), ...Object.fromEntries(named) })
    }
    return points
  }

  sum(metric: number, steps: number, now: number): number {
    const last = Math.floor(now / this.#step)
    let sum = 0
    for (const [step, counts] of this.#points) if (step > last - steps && step <= last) sum += counts[metric]!
    return sum
  }

  #countsOf(step: number): number[] {
    let counts = this.#points.get(step)
    if (counts) return counts
    for (const oldest of this.#points.keys()) {
      if (oldest > step - this.#size) break
      this.#points.delete(oldest)
    }
    counts = METRICS.map(() => 0)
    this.#points.set(step, counts)
    return counts
  }
}
