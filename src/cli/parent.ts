import process from 'node:process'

/** How often it is looked whether the parent is still there, in milliseconds. */
const LOOK = 200

/**
 * Tells when npm has gone that has started this: `npx` takes a signal for itself and passes none on, so that what it has started
 * would go on for ever. Does nothing where npm has not started it.
 */
export function whenNpmHasGone(gone: () => void): void {
  if (process.env.npm_command === undefined && process.env.npm_lifecycle_event === undefined) return
  const parent = process.ppid
  const timer = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(timer)
    gone()
  }, LOOK)
  timer.unref()
}
