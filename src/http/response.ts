import type { AbortWatch } from '../abort-watch.js'
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

/**
 * Makes a response say where it came from; its clones say it too.
 *
 * @param headers - those of a response that came from a network, which cannot be changed and may hold what the constructor
 *   refuses, or that are made like them
 */
export function withFacts(response: Response, facts: ResponseFacts, headers: Headers): Response {
  const define = (value: unknown) => ({ value, configurable: true })
  Object.defineProperties(response, {
    statusText: define(facts.statusText),
    url: define(facts.url),
    redirected: define(facts.redirected),
    type: define(facts.type),
    headers: define(headers),
    clone: {
      configurable: true,
      writable: true,
      value: function clone() {
        return withFacts(Response.prototype.clone.call(response), facts, headers)
      },
    },
  })
  return response
}

/** Lets a class be taken for the platform's own, by whoever asks for the constructor. */
export function seemsPlatform(prototype: object, platform: object): void {
  Object.defineProperty(prototype, 'constructor', { value: platform, configurable: true, writable: true })
}

/** Headers that refuse to be changed, as those of fetched responses do (Fetch standard, headers guard "immutable"). */
export class ImmutableHeaders extends Headers {
  override append(): never {
    throw new TypeError('immutable')
  }

  override delete(): never {
    throw new TypeError('immutable')
  }

  override set(): never {
    throw new TypeError('immutable')
  }
}
seemsPlatform(ImmutableHeaders.prototype, Headers)

/** A response that was made here and says that it came from a network. Not to be told from one by its class. */
export class RemadeResponse extends Response {
  readonly #facts: ResponseFacts
  readonly #headers: Headers

  /** @param headers - see `withFacts` */
  constructor(body: BodyInit | null, init: ResponseInit, facts: ResponseFacts, headers: Headers) {
    super(body, init)
    this.#facts = facts
    this.#headers = headers
  }

  override get statusText(): string {
    return this.#facts.statusText
  }

  override get url(): string {
    return this.#facts.url
  }

  override get redirected(): boolean {
    return this.#facts.redirected
  }

  override get type(): ResponseType {
    return this.#facts.type
  }

  override get headers(): Headers {
    return this.#headers
  }

  override clone(): Response {
    return withFacts(super.clone(), this.#facts, this.#headers)
  }
}
seemsPlatform(RemadeResponse.prototype, Response)

/** The same response with another body in the place of its own. */
export function withBody(response: Response, body: ReadableStream<Uint8Array> | null): Response {
  const { status, statusText, headers, url, redirected, type } = response
  // The content type says what blob() and formData() make of it; servers send bytes in the rest that the constructor refuses.
  const contentType = headers.get('content-type')
  const init = { status, headers: contentType === null ? [] : [['content-type', contentType] as [string, string]] }
  return new RemadeResponse(body, init, { statusText, url, redirected, type }, headers)
}

/** Whether a response can be made anew at all: the constructor takes statuses from 200 to 599 only. */
export function canRemake({ status }: Response): boolean {
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
  /** Ends the body with its reason, even when all of it has come in already. */
  readonly signal?: AbortSignal | undefined
  readonly aborts?: AbortWatch
}

/**
 * The same response, its body watched as it passes by.
 *
 * It is read ahead by a bounded amount: a caller who never reads a small answer must not hold what waits for its end.
 * Beyond that the reader sets the pace. A body that nobody can reach any more counts as cut.
 */
export function watchBody(response: Response, watch: BodyWatch, body = response.body): Response {
  if (body === null || body.locked || !canRemake(response)) {
    if (body === null) watch.whole?.()
    else watch.cut?.()
    return response
  }
  const state = new WatchedBody(body.getReader(), watch)
  // One more than the bound: a body of just that length must be seen to end.
  const stream = byteStream(state, (watch.ahead ?? READ_AHEAD) + 1)
  dropped.register(stream, state)
  return withBody(response, stream)
}

/** Without a prototype, whatever the program has put into that of all objects. */
function byteStream(
  source: Pick<WatchedBody, 'pull' | 'cancel'> & { start?(controller: ReadableByteStreamController): void },
  highWaterMark: number,
): ReadableStream<Uint8Array> {
  const underlying = {
    __proto__: null,
    type: 'bytes',
    start: (controller: ReadableByteStreamController) => source.start?.(controller),
    pull: (controller: ReadableByteStreamController) => source.pull(controller),
    cancel: (reason: unknown) => source.cancel(reason),
  }
  return new ReadableStream<Uint8Array>(underlying as never, { __proto__: null, highWaterMark } as never)
}

/** Streams that were collected: only then is it certain that nobody will read on. */
const dropped = new FinalizationRegistry<WatchedBody>(state => void state.drop())

class WatchedBody {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #watch: BodyWatch
  #over = false
  #unwatch: (() => void) | undefined

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>, watch: BodyWatch) {
    this.#reader = reader
    this.#watch = watch
  }

  start(controller: ReadableByteStreamController): void {
    const { signal, aborts } = this.#watch
    if (!signal || !aborts) return
    // Weakly: the signal may live for as long as the program, and what is read ahead must not.
    const weakly = new WeakRef(controller)
    this.#unwatch = aborts.on(signal, () => {
      // The platform ends its own body; an errored stream asks for nothing more, and would not learn of it.
      this.#end('cut')
      fail(weakly.deref(), signal.reason ?? new DOMException('The operation was aborted.', 'AbortError'))
    })
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

  /** Nobody can reach it any more. */
  async drop(): Promise<void> {
    this.#unwatch?.()
    await this.cancel('The response was dropped unread')
  }

  #end(how: 'whole' | 'cut'): void {
    if (this.#over) return
    this.#over = true
    this.#watch[how]?.()
  }
}

/** Ends a stream with an error, unless it has ended. */
function fail(controller: ReadableByteStreamController | undefined, reason: unknown): void {
  try {
    controller?.error(reason)
  } catch {
    // Closed and read to its end: an abort is too late for it.
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
