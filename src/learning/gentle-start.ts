/** In this many milliseconds the number of requests that may be on their way doubles. */
const DOUBLING = 100
/** How many may be on their way at first. */
const FIRST = 2
/** More than anyone sends: from there on nothing is held back. */
const ENOUGH = 1 << 16

/**
 * Holds back a key of which nothing is known: two requests may be on their way at first, and twice as many after each
 * tenth of a second in which that was not enough.
 *
 * It opens by time, not by answers: an answer may take 30 seconds, and a thousand requests must not wait for a
 * succession of them. What answers quickly is hardly held back at all: two at once are hundreds in a second.
 */
export class GentleStart {
  #allowed: number
  #grownAt: number | undefined

  /** @param known - whether there is nothing to find out, as limits were declared */
  constructor(known: boolean) {
    this.#allowed = known ? Number.POSITIVE_INFINITY : FIRST
  }

  /** From when one more may leave, when so many are on their way. */
  availableAt(onTheirWay: number, now: number): number {
    if (onTheirWay < this.#allowed) return now
    this.#grownAt ??= now
    const next = this.#grownAt + DOUBLING
    if (now < next) return next
    this.#grownAt = now
    this.#allowed *= 2
    if (this.#allowed >= ENOUGH) this.open()
    // After a restart more may be on their way than are allowed again by now.
    return onTheirWay < this.#allowed ? now : now + DOUBLING
  }

  /** Begins anew, unless nothing was to be found out. */
  restart(): void {
    if (this.#allowed !== Number.POSITIVE_INFINITY) this.#allowed = FIRST
  }

  /** Better is known: nothing is held back any more. */
  open(): void {
    this.#allowed = Number.POSITIVE_INFINITY
  }
}
