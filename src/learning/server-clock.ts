import { parseHttpDate } from '../signals/http-date.js'

/** How far two servers behind one name may differ before what was known is dropped, in milliseconds. */
const TOLERANCE = 100

/**
 * How the server's clock differs from ours, as closely as `Date` fields tell.
 *
 * Each of them is cut to the second, so one alone leaves a whole second open; those of many answers, which come at
 * different parts of a second, close it to a few milliseconds. That matters where a window of a second or two ends at a
 * moment of the server's clock.
 */
export class ServerClock {
  // Bounds of (the server's time - ours).
  #least = Number.NEGATIVE_INFINITY
  #most = Number.POSITIVE_INFINITY
  /** The field that came last: most answers of a second have the same. */
  #last: { readonly field: string; readonly date: number | undefined } = { field: '', date: undefined }

  /** @param sentAt - when the request left, and `now`, when its answer came, by our clock */
  observe(headers: Headers, sentAt: number, now: number): void {
    // What comes out of a cache on the way has a date of its own.
    if (headers.has('age')) return
    const date = this.#parse(headers.get('date') ?? '', now)
    if (date === undefined) return
    const least = date - now
    const most = date + 1000 - sentAt
    if (least > this.#most + TOLERANCE || most < this.#least - TOLERANCE) {
      this.#least = least
      this.#most = most
      return
    }
    this.#least = Math.max(this.#least, Math.min(least, this.#most))
    this.#most = Math.min(this.#most, Math.max(most, this.#least))
  }

  #parse(field: string, now: number): number | undefined {
    if (field !== this.#last.field) this.#last = { field, date: parseHttpDate(field, now) }
    return this.#last.date
  }

  /** When, by our clock, a moment of the server's clock comes: not before, and not after. */
  toLocal(at: number): { readonly earliest: number; readonly latest: number } {
    if (this.#least === Number.NEGATIVE_INFINITY) return { earliest: at, latest: at }
    return { earliest: at - this.#most, latest: at - this.#least }
  }
}
