/** What is counted over time. */
export const METRICS = ['calls', 'attempts', 'passed', 'refused', 'limited', 'troubled', 'cacheHits', 'tokens'] as const
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

/** Counts over time, in rings of a fixed size: a count costs three additions. */
export class SeriesCounter {
  readonly #rings = SPANS.map(([, step, size]) => new Ring(step, size))

  add(metric: Metric, count: number, now: number): void {
    const index = METRICS.indexOf(metric)
    for (const ring of this.#rings) ring.add(index, count, now)
  }

  read(now: number): Series {
    const [seconds, minutes, hours] = this.#rings.map(ring => ring.read(now))
    return { seconds: seconds!, minutes: minutes!, hours: hours! }
  }

  /** The sum of a metric over the last minutes, up to an hour. */
  lastMinutes(metric: Metric, minutes: number, now: number): number {
    return this.#rings[1]!.sum(METRICS.indexOf(metric), minutes, now)
  }
}

/** What a slot can hold. */
const LARGEST = 2 ** 32 - 1

class Ring {
  readonly #step: number
  readonly #size: number
  /** The number of the step that each slot holds. */
  readonly #steps: Uint32Array
  readonly #counts: Uint32Array

  constructor(step: number, size: number) {
    this.#step = step
    this.#size = size
    this.#steps = new Uint32Array(size)
    this.#counts = new Uint32Array(size * METRICS.length)
  }

  add(metric: number, count: number, now: number): void {
    const step = Math.floor(now / this.#step)
    const slot = step % this.#size
    const first = slot * METRICS.length
    if (this.#steps[slot] !== step) {
      this.#steps[slot] = step
      this.#counts.fill(0, first, first + METRICS.length)
    }
    this.#counts[first + metric] = Math.min(LARGEST, this.#counts[first + metric]! + count)
  }

  read(now: number): SeriesPoint[] {
    const points: SeriesPoint[] = []
    const last = Math.floor(now / this.#step)
    for (let step = last - this.#size + 1; step <= last; step++) {
      const slot = step % this.#size
      if (step < 0 || this.#steps[slot] !== step) continue
      const counts = METRICS.map((name, index) => [name, this.#counts[slot * METRICS.length + index]!])
      points.push({ at: new Date(step * this.#step), ...Object.fromEntries(counts) })
    }
    return points
  }

  sum(metric: number, steps: number, now: number): number {
    const last = Math.floor(now / this.#step)
    let sum = 0
    for (let step = Math.max(0, last - steps + 1); step <= last; step++) {
      const slot = step % this.#size
      if (this.#steps[slot] === step) sum += this.#counts[slot * METRICS.length + metric]!
    }
    return sum
  }
}
