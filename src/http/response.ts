import { concat } from './call-body.js'

/** What `new Response()` can't be told: these belong to responses that came from a network. */
export interface ResponseFacts {
  readonly statusText: string
  readonly url: string
  readonly redirected: boolean
  readonly type: ResponseType
}

const NULL_BODY_STATUSES: ReadonlySet<number> = new Set([101, 103, 204, 205, 304])

/** Whether a response with this status has no body by definition (Fetch standard, "null body status"). */
export function hasNullBody(status: number): boolean {
  return NULL_BODY_STATUSES.has(status)
}

/** Makes a response say where it came from; its clones say it too. */
export function withFacts(response: Response, facts: ResponseFacts): Response {
  const define = (name: string, value: unknown) => ({ value, configurable: true, name })
  Object.defineProperties(response, {
    statusText: define('statusText', facts.statusText),
    url: define('url', facts.url),
    redirected: define('redirected', facts.redirected),
    type: define('type', facts.type),
    clone: {
      configurable: true,
      writable: true,
      value: function clone() {
        return withFacts(Response.prototype.clone.call(response), facts)
      },
    },
  })
  return response
}

/** The same response with another body in the place of its own. */
export function withBody(response: Response, body: ReadableStream<Uint8Array> | null): Response {
  const { status, statusText, headers, url, redirected, type } = response
  // Not the reason phrase: servers send bytes in it that the constructor refuses.
  return withFacts(new Response(body, { status, headers }), { statusText, url, redirected, type })
}

/** Whether a response can be made anew at all: the constructor takes statuses from 200 to 599 only. */
function canRemake({ status }: Response): boolean {
  return status >= 200 && status <= 599
}

/** How much of a body is taken in before anyone reads it, in bytes: small answers are over as soon as they are here. */
const READ_AHEAD = 64 * 1024

/** What to do with a body that passes by. */
export interface BodyWatch {
  /** A chunk has come in. */
  chunk?(bytes: Uint8Array): void
  /** All of it has come in; called once, or `cut` is. */
  whole?(): void
  /** It ended early: cancelled, failed, or dropped by everyone. */
  cut?(): void
  /** How far to read ahead of the reader, in bytes. @default 64 KiB */
  readonly ahead?: number
}

/**
 * The same response, its body watched as it passes by.
 *
 * It is read ahead by a bounded amount: a caller who never reads a small answer must not hold what waits for its end.
 * Beyond that the reader sets the pace. A body that nobody can reach any more counts as cut.
 */
export function watchBody(response: Response, watch: BodyWatch): Response {
  if (response.body === null || response.body.locked || !canRemake(response)) {
    if (response.body === null) watch.whole?.()
    else watch.cut?.()
    return response
  }
  const state = new WatchedBody(response.body.getReader(), watch)
  const stream = new ReadableStream<Uint8Array>(
    {
      type: 'bytes',
      pull: (controller: ReadableByteStreamController) => state.pull(controller),
      cancel: (reason: unknown) => state.cancel(reason),
    } as never,
    // One more than the bound: a body of just that length must be seen to end.
    { highWaterMark: (watch.ahead ?? READ_AHEAD) + 1 },
  )
  dropped.register(stream, state)
  return withBody(response, stream)
}

/** Streams that were collected before their end: only then is it certain that nobody will read on. */
const dropped = new FinalizationRegistry<WatchedBody>(state => void state.cancel('The response was dropped unread'))

class WatchedBody {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #watch: BodyWatch
  #over = false

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>, watch: BodyWatch) {
    this.#reader = reader
    this.#watch = watch
  }

  async pull(controller: ReadableByteStreamController): Promise<void> {
    let result: ReadableStreamReadResult<Uint8Array>
    try {
      result = await this.#reader.read()
    } catch (error) {
      this.#end('cut')
      throw error
    }
    if (result.done) {
      this.#end('whole')
      controller.close()
      controller.byobRequest?.respond(0)
      return
    }
    this.#watch.chunk?.(result.value)
    // A byte stream takes the chunk's buffer away and refuses an empty one.
    if (result.value.byteLength > 0) controller.enqueue(result.value as Uint8Array<ArrayBuffer>)
    else return this.pull(controller)
  }

  async cancel(reason: unknown): Promise<void> {
    if (this.#over) return
    this.#end('cut')
    await this.#reader.cancel(reason)
  }

  #end(how: 'whole' | 'cut'): void {
    if (this.#over) return
    this.#over = true
    this.#watch[how]?.()
  }
}

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
  const stream = new ReadableStream<Uint8Array>(
    {
      type: 'bytes',
      async pull(controller: ReadableByteStreamController) {
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
      cancel: (reason: unknown) => reader.cancel(reason),
    } as never,
    { highWaterMark: 0 },
  )
  return { text, whole, response: withBody(response, stream) }
}
