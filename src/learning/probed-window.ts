import { SlidingWindow } from '../limiter/sliding-window.js'

/**
 * A window that was found out, and may be wrong: what seemed to be a limit may have been an outage. When it is used up,
 * one request more is let go after a part of it, to see.
 */
export class ProbedWindow extends SlidingWindow {
  /** How long it is used up before one more is let go, in milliseconds. */
  probeAfter = Number.POSITIVE_INFINITY
  #fullSince: number | undefined
  /** When the one more was let go; `undefined`: it was not. */
  probedAt: number | undefined

  override availableAt(weight: number, now: number, nextConfirm: number): number {
    const at = super.availableAt(weight, now, nextConfirm)
    if (at <= now) return now
    this.#fullSince ??= now
    const probeAt = this.#fullSince + this.probeAfter
    if (this.probedAt !== undefined || probeAt >= at) return at
    if (now < probeAt) return Math.ceil(probeAt)
    // A window that has shrunk owes what left before that: one more would not be enough.
    if (this.book.reservoir + 1 < weight) return at
    this.probedAt = now
    this.grow(1)
    return now
  }

  override take(weight: number, now: number): void {
    super.take(weight, now)
    if (this.probedAt === undefined) this.#fullSince = undefined
  }

  /** It is known what came of the one more. */
  probed(): void {
    this.probedAt = undefined
    this.#fullSince = undefined
  }
}
