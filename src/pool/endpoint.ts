/** How long an endpoint rests after the first failure in a row, and at most: twice as long after each. In milliseconds. */
const FIRST_REST_MS = 1_000
const MAX_REST_MS = 60_000
/** So many errors of the server in a row are no accident; a connection that fails needs only one. */
const ERRORS_IN_A_ROW = 3

/** What an attempt has shown of an endpoint. */
export type EndpointSign =
  /** Something in order has come from it, a refusal included. */
  | 'alive'
  /** It has answered with an error of its own. */
  | 'error'
  /** No connection came about. */
  | 'unreachable'

/**
 * An endpoint of its own that a key has (`baseUrl`), as far as it answers at all.
 *
 * One that fails at once is always the least loaded, and would get most of the requests. It rests for a growing while, and
 * then one request at a time tries it.
 */
export class Endpoint {
  #failures = 0
  #restsUntil = Number.NEGATIVE_INFINITY
  #isTried = false

  /** From when a request may go there: `now` if at once, `Infinity` while the one that tries it is on its way. */
  availableAt(now: number): number {
    if (!this.#isDown) return now
    if (this.#restsUntil > now) return this.#restsUntil
    return this.#isTried ? Number.POSITIVE_INFINITY : now
  }

  /** How often in a row it has failed, lately. */
  get failures(): number {
    return this.#failures
  }

  /** For how long it still rests, in milliseconds: 0 where it is in use, and 1 while one request tries it. */
  restsFor(now: number): number {
    if (!this.#isDown) return 0
    return Math.max(1, this.#restsUntil - now)
  }

  isResting(now: number): boolean {
    return this.availableAt(now) > now
  }

  /** A request goes there. @returns whether it is the one that tries it */
  taken(): boolean {
    if (!this.#isDown || this.#isTried) return false
    this.#isTried = true
    return true
  }

  /** The request that tried it is over, whatever came of it. */
  tried(): void {
    this.#isTried = false
  }

  /** @param hasOther - whether requests can go elsewhere: where they can't, it never rests. @returns whether anything has changed */
  noted(sign: EndpointSign, now: number, hasOther: boolean): boolean {
    const before = this.#failures
    if (sign === 'alive') this.#failures = 0
    else if (hasOther) {
      this.#failures = sign === 'unreachable' ? Math.max(before + 1, ERRORS_IN_A_ROW) : before + 1
      const times = this.#failures - ERRORS_IN_A_ROW
      if (times >= 0) this.#restsUntil = now + Math.min(MAX_REST_MS, FIRST_REST_MS * 2 ** times)
    }
    return this.#failures !== before
  }

  get #isDown(): boolean {
    return this.#failures >= ERRORS_IN_A_ROW
  }
}
