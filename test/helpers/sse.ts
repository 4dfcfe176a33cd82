import type { ServerResponse } from 'node:http'

/**
 * A stream of events that goes on only when its reader has had the last one: whatever holds an event back on its way
 * brings the test to a stop.
 */
export function stepwise(events: readonly (string | { event: string; data: unknown })[]) {
  let release: (() => void) | undefined
  let steps = 1
  return {
    /** The reader has had an event. */
    next() {
      steps++
      release?.()
    },
    send: async (response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const each of events) {
        if (steps === 0) {
          await new Promise<void>(resolve => {
            release = resolve
          })
        }
        steps--
        response.write(
          typeof each === 'string'
            ? `data: ${each}\n\n`
            : `event: ${each.event}\ndata: ${JSON.stringify(each.data)}\n\n`,
        )
      }
      response.end()
    },
  }
}
