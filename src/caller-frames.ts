import { isError } from './platform.js'

/** Errors that have been completed: one error may be thrown many times, and must not grow each time. */
const completed = new WeakSet<object>()

/**
 * Adds the frames of the program's own call to the stack of an error, where they are missing. To be called in an async
 * function that the program awaits.
 *
 * V8 follows awaits back to the caller only if nothing but awaits lies between them. Waiting for a promise and a signal at
 * once breaks that chain, and an error that was made in a timer never had one.
 */
export function addCallerFrames(error: unknown): void {
  const { captureStackTrace } = Error as { captureStackTrace?: (target: object, above: unknown) => void }
  if (!captureStackTrace || !isError(error) || completed.has(error)) return
  const { stack } = error
  if (typeof stack !== 'string') return
  completed.add(error)
  const here = { stack: '' }
  captureStackTrace(here, addCallerFrames)
  // The program may have its own way to write stacks down.
  if (typeof here.stack !== 'string') return
  // The first two lines are a heading and the function that awaited; Node shows its own queue of tasks below that.
  const frames = here.stack.split('\n').slice(2)
  const missing = frames.filter(line => !line.includes('(node:internal/process/') && !stack.includes(line))
  if (missing.length > 0) Reflect.set(error, 'stack', [stack, ...missing].join('\n'))
}
