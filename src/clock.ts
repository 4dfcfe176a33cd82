import { AbortWatch } from './abort-watch.js'

/**
 * Where the library reads the time and waits: one clock for everything, so that one fake clock can stand in for it.
 *
 * There are two times. Spans (waits, windows, deadlines) are measured by `now`, which never jumps. Dates and calendars go
 * by `wallNow`, which may be set by anybody at any moment. A moment of the first becomes a date with `dateAt`, as late as
 * possible: an offset that was kept would be that of a system clock which has been set right since.
 */
export interface Clock {
  /**
   * Milliseconds on a clock that never goes back nor jumps: since the epoch as the system's clock had it when this one was
   * made.
   */
  now(): number
  /** Milliseconds since the epoch by the system's clock, as it is set now. */
  wallNow(): number
  /** Calls `callback` after `delay` milliseconds, however long; returns the function that takes the timer away. */
  schedule(callback: () => void, delay: number): () => void
  /** What ends waits early. */
  readonly aborts: AbortWatch
}

/** The longest delay that `setTimeout` holds (24.8 days); a longer one would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

/** The system's clocks and timers, looked up at each use so that test timers installed later hold. */
export function systemClock(): Clock {
  const epoch = Date.now() - performance.now()
  /** A timer that has fired shows that its time has come, also where only timers are faked and `performance` is not. */
  let least = 0
  const now = () => {
    least = Math.max(least, Math.floor(epoch + performance.now()))
    return least
  }
  return {
    aborts: new AbortWatch(),
    now,
    wallNow: () => Date.now(),
    schedule(callback, delay) {
      let left = delay
      let timer: ReturnType<typeof setTimeout>
      const arm = () => {
        const step = Math.min(left, MAX_TIMER_MS)
        const until = now() + Math.floor(step)
        timer = setTimeout(() => {
          least = Math.max(least, until)
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

/** One moment on both clocks, for whatever is read at once: see `Clock`. */
export interface Moment {
  readonly now: number
  readonly wall: number
}

export function thisMoment(clock: Pick<Clock, 'now' | 'wallNow'>): Moment {
  return { now: clock.now(), wall: clock.wallNow() }
}

/** The date of another moment on the clock that never jumps. */
export function dateAt({ now, wall }: Moment, at: number): Date {
  return new Date(Math.round(at - now + wall))
}

/** A date, as a moment on the clock that never jumps: as far as that can be told today. */
export function momentOf({ now, wall }: Moment, date: number): number {
  return date - wall + now
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
