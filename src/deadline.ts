import type { Clock } from './clock.js'
import { anySignal } from './platform.js'

/** A signal that aborts with the caller's, or when time is up; without a time, it is the caller's own. */
export interface Deadline {
  readonly signal: AbortSignal | undefined
  /** Time does not matter any more. */
  clear(): void
}

function nothing(): void {}

/** Joins a time limit, in milliseconds, to a caller's signal; `late` makes the reason that it aborts with. */
export function startDeadline(
  clock: Clock,
  milliseconds: number | undefined,
  signal: AbortSignal | undefined,
  late: () => Error,
): Deadline {
  if (milliseconds === undefined) return { signal, clear: nothing }
  const controller = new AbortController()
  const clear = clock.schedule(() => controller.abort(late()), milliseconds)
  return { signal: signal ? anySignal(signal, controller.signal) : controller.signal, clear }
}
