import { AbortWatch } from './abort-watch.js'

/** Where the library reads the time and waits: one clock for everything, so that one fake clock can stand in for it. */
export interface Clock {
  /** Milliseconds since the epoch; never goes back, even when the system's clock is set back. */
  now(): number
  /** Calls `callback` after `delay` milliseconds, however long; returns the function that takes the timer away. */
  schedule(callback: () => void, delay: number): () => void
  /** What ends waits early. */
  readonly aborts: AbortWatch
}

/** The longest delay that `setTimeout` holds (24.8 days); a longer one would fire at once. */
const LONGEST_TIMER = 2 ** 31 - 1

/** The system's clock: `Date.now` and `setTimeout`, looked up at each use so that test timers installed later hold. */
export function systemClock(): Clock {
  let last = 0
  let offset = 0
  return {
    aborts: new AbortWatch(),
    now() {
      const wall = Date.now()
      // A clock that was set back would freeze every window until it has caught up: go on from where it was instead.
      if (wall + offset < last) offset = last - wall
      last = wall + offset
      return last
    },
    schedule(callback, delay) {
      let left = delay
      let timer: ReturnType<typeof setTimeout>
      const arm = () => {
        const step = Math.min(left, LONGEST_TIMER)
        timer = setTimeout(() => {
          left -= step
          if (left > 0) arm()
          else callback()
        }, step)
      }
      arm()
      return () => clearTimeout(timer)
    },
  }
}

/**
 * Waits, and stops waiting when the signal aborts.
 *
 * @throws the signal's own reason; its listener is taken away either way.
 */
export function delay(clock: Clock, milliseconds: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const cancel = clock.schedule(() => {
      unwatch?.()
      resolve()
    }, milliseconds)
    const unwatch =
      signal &&
      clock.aborts.on(signal, () => {
        cancel()
        reject(signal.reason)
      })
  })
}

/**
 * The response of a `fetch`, or the signal's reason as soon as it aborts, whether or not that `fetch` heeds the signal. A
 * response that comes too late is cancelled.
 */
export function responseUnlessAborted(
  clock: Clock,
  fetched: Promise<Response>,
  signal: AbortSignal | undefined,
): Promise<Response> {
  if (!signal) return fetched
  return abortable(clock, fetched, signal).catch(error => {
    if (signal.aborted) fetched.then(late => late.body?.cancel()).catch(noOneToTell)
    throw error
  })
}

/** Nobody waits any more for what has come too late. */
function noOneToTell(): void {}

/**
 * What a promise of somebody else's code comes to, or the signal's reason as soon as it aborts: that code may never
 * settle, and the caller must not hang with it.
 */
export function abortable<Value>(
  clock: Clock,
  promise: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value> {
  if (!signal) return promise
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      // Whatever comes of it is told to nobody.
      promise.catch(() => {})
      return reject(signal.reason)
    }
    const unwatch = clock.aborts.on(signal, () => reject(signal.reason))
    promise.then(resolve, reject).finally(unwatch)
  })
}
