import type { Clock } from '../clock.js'
import { type BodyWatch, canRemake, watchBody } from './response.js'

/** What takes in a body as a whole. */
const WHOLE = ['arrayBuffer', 'blob', 'bytes', 'formData', 'json', 'text'] as const
type Whole = Exclude<(typeof WHOLE)[number], 'bytes'>

const bodyUsed = Object.getOwnPropertyDescriptor(Response.prototype, 'bodyUsed')!.get as () => boolean

/**
 * Says when a response's body has ended: read, cancelled, failed or dropped.
 *
 * A stream that stands in the place of the body would tell it, and costs as much as the whole rest of a call. Nearly all
 * callers take in the body as a whole, and at once: then it is enough to see that end. Only for the others is there such a
 * stream: for those who look at `body` or make a clone, and for those who have not begun to read by the next turn of the
 * event loop, as a small body must come in all the same.
 */
export function endWatches(clock: Clock): (response: Response, watch: BodyWatch & { whole(): void }) => Response {
  let waiting: (() => void)[] = []
  const flush = () => {
    const all = waiting
    waiting = []
    for (const each of all) each()
  }
  const nextTurn = (callback: () => void) => {
    if (waiting.push(callback) === 1) clock.schedule(flush, 0)
  }

  return (response, watch) => {
    // What others have made in its likeness has other insides.
    if (!(response instanceof Response)) return watchBody(response, watch)
    const { body } = response
    if (body === null || !canRemake(response)) return watchBody(response, watch)
    let begun = false
    let made: Response | undefined
    /** The response with a stream in the place of its body. */
    const remade = (): Response => {
      begun = true
      made ??= watchBody(response, watch, body)
      return made
    }
    const properties: PropertyDescriptorMap = {
      body: { configurable: true, get: () => (begun && !made ? body : remade().body) },
      bodyUsed: { configurable: true, get: () => (made ? made.bodyUsed : bodyUsed.call(response)) },
      clone: {
        configurable: true,
        writable: true,
        value: () => (begun && !made ? Response.prototype.clone.call(response) : remade().clone()),
      },
    }
    for (const name of WHOLE) {
      if (!(name in Response.prototype)) continue
      properties[name] = {
        configurable: true,
        writable: true,
        value: () => {
          if (made) return made[name as Whole]()
          const taken = Response.prototype[name as Whole].call(response) as Promise<unknown>
          // A second reading is refused, and says nothing of the first.
          if (!begun) {
            begun = true
            taken.then(watch.whole, watch.whole)
          }
          return taken
        },
      }
    }
    nextTurn(() => {
      if (!begun) remade()
    })
    return Object.defineProperties(response, properties)
  }
}
