import { concat, LazyBody, READ_AHEAD_BYTES } from './lazy-body.js'
import { isRemakeable, lazily, lazyResponse } from './lazy-response.js'
import { factsOf } from './response-facts.js'

/** How long a body that nobody wants may take to come in, in milliseconds. */
const DRAIN_TIMEOUT_MS = 1_000

/**
 * Lets go of a response that nobody will read: takes in a small body, so that its connection can serve again, and
 * cancels one that is large or slow. Settles when the server has nothing more to send.
 */
export async function discard(response: Response, bound = READ_AHEAD_BYTES, timeout = DRAIN_TIMEOUT_MS): Promise<void> {
  await takeIn(response, bound, timeout)
}

/** A response with its body in memory, so that it holds no connection; a body that is large or slow is cut to nothing. */
export async function detach(response: Response): Promise<Response> {
  if (!isRemakeable(response)) return response
  const { status, headers } = response
  const facts = factsOf(response)
  const body = (await takeIn(response, READ_AHEAD_BYTES, DRAIN_TIMEOUT_MS)) ?? new Uint8Array()
  return lazyResponse(LazyBody.ofBytes(body), status, facts, headers)
}

/** The whole body; `undefined` if it is large, slow or fails, and then it is cancelled. */
async function takeIn(
  response: Response,
  bound: number,
  timeout: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (!response.body || response.body.locked) return undefined
  const reader = response.body.getReader()
  const chunks: Uint8Array[] = []
  let size = 0
  const timer = setTimeout(() => void reader.cancel().catch(noOneToTell), timeout)
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

/**
 * The beginning of a body as text, whether that is all of it, and the response, which can still be read from its start.
 *
 * @param isEnough - whether nothing more of it is needed; `undefined`: all that `bound` allows is
 * @param inTime - settles when the reading does, or when it has taken too long
 */
export async function peek(
  response: Response,
  bound: number,
  isEnough: ((text: string) => boolean) | undefined,
  inTime: (reading: Promise<void>) => Promise<unknown>,
): Promise<{ text: string; whole: boolean; response: Response }> {
  if (!isRemakeable(response)) return { text: '', whole: true, response }
  const { response: again, body } = lazily(response)
  const decoder = new TextDecoder()
  let text = ''
  let decoded = 0
  let isOver = false
  const hasEnough = () => {
    if (isOver) return true
    for (; decoded < body.queued.length; decoded++) text += decoder.decode(body.queued[decoded], { stream: true })
    return isEnough?.(text) ?? false
  }
  // The body may stall for as long as it likes; what it has said so far must do.
  await inTime(body.readAhead(bound, hasEnough))
  hasEnough()
  isOver = true
  return { text, whole: body.hasEnded, response: again }
}
