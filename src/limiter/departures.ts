import type { Clock } from '../clock.js'

/** Something that wants to know when it has really left. */
export interface Departing {
  /** Called with the time once the event loop has come round since it was handed over. */
  departed(at: number): void
}

/**
 * Says when requests have left the process.
 *
 * Between the call of `fetch` and the first byte on the wire lies all the work that the process does in the same turn
 * of its event loop: with hundreds of requests at once, tens of milliseconds. One timer for each turn tells them all.
 *
 * @param lagged - told how long each turn took, in milliseconds
 */
export function departures(clock: Clock, lagged: (lag: number) => void): (departing: Departing) => void {
  let waiting: Departing[] = []
  let since = 0
  const flush = () => {
    const all = waiting
    waiting = []
    const now = clock.now()
    lagged(now - since)
    for (const departing of all) departing.departed(now)
  }
  return departing => {
    if (waiting.push(departing) > 1) return
    since = clock.now()
    clock.schedule(flush, 0)
  }
}
