/** How a budget fills again: with time, in retries a millisecond, and with each call that succeeds. */
const REFILL = { perMillisecond: 1 / 1_000, perSuccess: 0.2 } as const

/**
 * Bounds the retries of all calls of a pool together: a service that is down must not be sent a multiple of what it is sent
 * when it is well, and calls in an outage need not wait for backoffs that help nobody.
 *
 * It begins full. Each retry takes one from it; time and success fill it again. Time alone allows few retries, so that a
 * program that sends little still has them after an outage; success allows one for five calls, as in the AWS SDKs' standard
 * mode (https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html).
 */
export class RetryBudget {
  readonly #size: number
  #left: number
  #filledAt: number

  constructor(size: number, now: number) {
    this.#size = size
    this.#left = size
    this.#filledAt = now
  }

  /** Takes one retry; `false`: there is none left. */
  take(now: number): boolean {
    this.#fill(Math.max(0, now - this.#filledAt) * REFILL.perMillisecond)
    this.#filledAt = now
    if (this.#left < 1) return false
    this.#left--
    return true
  }

  succeeded(): void {
    this.#fill(REFILL.perSuccess)
  }

  #fill(retries: number): void {
    this.#left = Math.min(this.#size, this.#left + retries)
  }
}
