import { concat } from './call-body.js'
import { canRemake, withBody } from './remade-response.js'
import { byteStream, READ_AHEAD } from './watched-body.js'

/** How long a body that nobody wants may take to come in, in milliseconds. */
const PATIENCE = 1_000

/**
 * Lets go of a response that nobody will read: takes in a small body, so that its connection can serve again, and
 * cancels one that is large or slow. Settles when the server has nothing more to send.
 */
export async function discard(response: Response, bound = READ_AHEAD, patience = PATIENCE): Promise<void> {
  await takeIn(response, bound, patience)
}

/** A response with its body in memory, so that it holds no connection; a body that is large or slow is cut to nothing. */
export async function detach(response: Response): Promise<Response> {
  const body = await takeIn(response, READ_AHEAD, PATIENCE)
  if (response.body === null || !canRemake(response)) return response
  return withBody(response, new Response(body ?? '').body)
}

/** The whole body; `undefined` if it is large, slow or fails, and then it is cancelled. */
async function takeIn(
  response: Response,
  bound: number,
  patience: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (response.body === null || response.body.locked) return undefined
  const reader = response.body.getReader()
  const chunks: Uint8Array[] = []
  let size = 0
  const timer = setTimeout(() => void reader.cancel().catch(noOneToTell), patience)
  try {
    while (size <= bound) {
      const { done, value } = await reader.read()
      if (done) return concat(chunks, size)
      chunks.push(value)
      size += value.byteLength
    }
    await reader.cancel()
  } catch {
    // The connection broke under a body that nobody wanted: there is no one to tell, and nothing is lost.
  } finally {
    clearTimeout(timer)
  }
  return undefined
}

/** A body that nobody wanted could not be cancelled: it is broken already. */
function noOneToTell(): void {}

/** The beginning of a body as text, whether that is all of it, and the response, whole again. */
export async function peek(
  response: Response,
  bound: number,
  patience: (reading: Promise<unknown>) => Promise<boolean>,
): Promise<{ text: string; whole: boolean; response: Response }> {
  if (response.body === null || !canRemake(response)) return { text: '', whole: true, response }
  const reader = response.body.getReader()
  const chunks: Uint8Array[] = []
  let size = 0
  let pending: Promise<ReadableStreamReadResult<Uint8Array>> | undefined
  let whole = false
  try {
    while (size < bound) {
      pending = reader.read()
      // The body may stall for as long as it likes; what it has said so far must do.
      if (!(await patience(pending))) break
      const { done, value } = await pending
      whole = done
      if (done) break
      pending = undefined
      chunks.push(value)
      size += value.byteLength
    }
  } catch {
    // Kept in `pending`: whoever reads the response meets the error where it stood.
  }
  const decoder = new TextDecoder()
  const text = chunks.map(chunk => decoder.decode(chunk, { stream: true })).join('')
  let index = 0
  const stream = byteStream(
    {
      async pull(controller) {
        if (index < chunks.length) {
          controller.enqueue(chunks[index++]! as Uint8Array<ArrayBuffer>)
          return
        }
        const { done, value } = await (pending ?? reader.read())
        pending = undefined
        if (done) {
          controller.close()
          controller.byobRequest?.respond(0)
        } else controller.enqueue(value as Uint8Array<ArrayBuffer>)
      },
      cancel: reason => reader.cancel(reason),
    },
    0,
  )
  return { text, whole, response: withBody(response, stream) }
}
