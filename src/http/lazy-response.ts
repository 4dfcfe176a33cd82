import type { Clock } from '../clock.js'
import { type BodyWatch, LazyBody } from './lazy-body.js'
import { factsOf, hasNullBody, isConstructible, type ResponseFacts, withFacts } from './response-facts.js'

type PlatformResponse = typeof globalThis.Response

/** What stands behind a response that was made here. */
interface LazyState {
  readonly body: LazyBody
  /** The stream that the platform holds. Where it holds another by now, a clone was made. */
  readonly stream: ReadableStream<Uint8Array>
  readonly facts: ResponseFacts
  readonly headers: Headers
}

const STATE: unique symbol = Symbol('fetch-keypool.response') as never

type LazyResponse = Response & { readonly [STATE]: LazyState }

/**
 * Makes a response of a body that is not read before it must be.
 *
 * It is a response of the platform's own with a stream of its own, so that whatever looks inside it (a server that it is
 * handed to, `caches.put`, `Response.prototype.text.call`) finds what its properties say. Only its prototype is another:
 * there are the facts that the constructor can't be told, and shorter ways to read the body as a whole. A subclass would
 * do the same, but it would be tied to the class that stood in `globalThis.Response` when this file was loaded, and its
 * getters would run while it is constructed where other code has put a Proxy over that class.
 *
 * @param like - the platform's class; by default the one of now
 */
export function lazyResponse(
  body: LazyBody,
  status: number,
  facts: ResponseFacts,
  headers: Headers,
  like: PlatformResponse = globalThis.Response,
): Response {
  const stream = byteStream(body)
  const inside = facts.url === '' ? headers : ofDecodedBody(headers)
  const response = construct(like, stream, { status, statusText: facts.statusText, headers: inside })
  const state: LazyState = { body, stream, facts, headers }
  Object.defineProperty(response, STATE, { value: state })
  return Object.setPrototypeOf(response, lazyLike(Object.getPrototypeOf(response)))
}

/** The codings that every platform's fetch decodes. */
const DECODED = /^\s*(?:(?:x-)?gzip|deflate|br)(?:\s*,\s*(?:(?:x-)?gzip|deflate|br))*\s*$/i

/**
 * The fields of a fetched response as they are true of its body, which the platform has decoded: a server that is handed
 * the response sends the body as it is. The response's own `headers` say what the service has sent, as those of a live one do.
 */
function ofDecodedBody(headers: Headers): Headers {
  const coding = headers.get('content-encoding')
  if (coding === null || !DECODED.test(coding)) return headers
  const decoded = acceptable(headers)
  decoded.delete('content-encoding')
  decoded.delete('content-length')
  return decoded
}

/** A response without a body, or with one in memory, that says that it came from a network. */
export function responseOf(
  bytes: Uint8Array<ArrayBuffer> | null,
  status: number,
  facts: ResponseFacts,
  headers: Headers,
): Response {
  if (bytes !== null) return lazyResponse(LazyBody.ofBytes(bytes), status, facts, headers)
  return withFacts(
    construct(globalThis.Response, null, { status, statusText: facts.statusText, headers }),
    facts,
    headers,
  )
}

/** The body of a response that was made here; `undefined` where it was not, or where somebody has begun to read it. */
export function lazyBodyOf(response: Response): LazyBody | undefined {
  const state = (response as Partial<LazyResponse>)[STATE]
  return state && isUntouched(response as LazyResponse, state) ? state.body : undefined
}

/** Whether a response can be made anew: by its status, and by whether its body is one of the web's streams that is free. */
export function isRemakeable(response: Response): boolean {
  return isConstructible(response.status) && !hasNullBody(response.status) && response.body?.locked === false
}

/** The same response with a lazy body, which it may have already; it must be one that `isRemakeable`. */
export function lazily(response: Response): { readonly response: Response; readonly body: LazyBody } {
  const known = lazyBodyOf(response)
  if (known) return { response, body: known }
  const body = LazyBody.of(response)
  const { status, headers } = response
  const lazy = lazyResponse(body, status, factsOf(response), headers, classOf(response))
  // What the wrapped fetch has put onto its response is the caller's to find.
  for (const name of Object.keys(response)) Reflect.set(lazy, name, Reflect.get(response, name))
  return { response: lazy, body }
}

/**
 * Gives the same response back, its body watched.
 *
 * A caller who never reads a small response must not hold up what waits for its end: the body is read ahead by a bounded
 * amount if nobody has begun to read it in the next turn of the event loop. Beyond that the reader sets the pace. A body
 * that nobody can reach any more counts as cut.
 */
export type BodyWatcher = (response: Response, watch: BodyWatch) => Response

export function bodyWatcher(clock: Clock): BodyWatcher {
  const waiting = new Set<LazyState>()
  let isScheduled = false
  const readAhead = () => {
    isScheduled = false
    for (const { body, stream } of waiting) {
      // Nothing that the body holds may hold the stream, which would then never be collected.
      body.onTaken = undefined
      dropped().register(stream, body)
      void body.readAhead()
    }
    waiting.clear()
  }

  return (response, watch) => {
    if (!isRemakeable(response)) {
      // A body that cannot be seen to end must not hold anything up.
      if (response.body) watch.cut?.()
      else watch.whole?.()
      return response
    }
    const { response: lazy, body } = lazily(response)
    body.watch(watch)
    const state = (lazy as LazyResponse)[STATE]
    waiting.add(state)
    // A program that reads at once is the rule: what it has read must not be held until the next turn.
    body.onTaken = () => waiting.delete(state)
    if (!isScheduled) clock.schedule(readAhead, 0)
    isScheduled = true
    return lazy
  }
}

let droppedBodies: FinalizationRegistry<LazyBody> | undefined

/** Bodies whose streams were collected: only then is it certain that nobody will read on. */
function dropped(): FinalizationRegistry<LazyBody> {
  // Some runtimes have none while modules are loaded.
  droppedBodies ??= new FinalizationRegistry(body => body.drop())
  return droppedBodies
}

/** Whatever the program has put into the prototype of all objects must not be taken for a setting of the stream. */
function byteStream(body: LazyBody): ReadableStream<Uint8Array> {
  const source = {
    __proto__: null,
    type: 'bytes',
    pull: (controller: ReadableByteStreamController) => body.pull(controller),
    cancel: (reason: unknown) => body.cancel(reason),
  }
  return new ReadableStream<Uint8Array>(source as never, { __proto__: null, highWaterMark: 0 } as never)
}

/** The class of a response, where it is another than the platform's of now (undici from the registry, another realm). */
function classOf(response: Response): PlatformResponse | undefined {
  const { constructor: own } = response as { constructor: unknown }
  if (response instanceof globalThis.Response) return globalThis.Response
  return typeof own === 'function' && own.name === 'Response' ? (own as PlatformResponse) : undefined
}

function construct(like: PlatformResponse, body: BodyInit | null, init: ResponseInit): Response {
  try {
    return new like(body, init)
  } catch {
    // Servers send more in their status lines and fields than the constructor takes: that much is left out.
    return new like(body, { status: init.status, headers: acceptable(init.headers as Headers) })
  }
}

function acceptable(headers: Headers): Headers {
  const accepted = new Headers()
  for (const [name, value] of headers) {
    try {
      accepted.append(name, value)
    } catch {
      // The one field that it does not take.
    }
  }
  return accepted
}

function isUntouched(response: LazyResponse, { body, stream }: LazyState): boolean {
  if (!body.isUntouched) return false
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf(response))
  return (
    Reflect.get(prototype, 'body', response) === stream &&
    !stream.locked &&
    Reflect.get(prototype, 'bodyUsed', response) === false
  )
}

/** Takes the body as a whole, if nobody has begun to read it. */
function take(response: LazyResponse, isPatched: boolean): ReturnType<LazyBody['take']> | undefined {
  const state = response[STATE]
  if (isPatched || !isUntouched(response, state)) return undefined
  const taken = state.body.take()
  // For the platform the body is used, and its stream is locked, from now on.
  void state.stream.getReader().cancel()
  return taken
}

let decoder: TextDecoder | undefined

function decode(bytes: Uint8Array): string {
  decoder ??= new TextDecoder()
  return decoder.decode(bytes)
}

/** By the platform's prototype: there may be several, of several realms or implementations. */
const lazyPrototypes = new WeakMap<object, object>()

function lazyLike(prototype: Response): object {
  const known = lazyPrototypes.get(prototype)
  if (known) return known
  const made = Object.create(prototype, Object.getOwnPropertyDescriptors(membersOver(prototype)))
  for (const name of Object.getOwnPropertyNames(made)) Object.defineProperty(made, name, { enumerable: true })
  lazyPrototypes.set(prototype, made)
  return made
}

function membersOver(platform: Response): object {
  // What a program puts in the place of these later (a mock, a monitor) is what is to be called.
  const { text, json, arrayBuffer } = platform
  return {
    get statusText() {
      return (this as unknown as LazyResponse)[STATE].facts.statusText
    },
    get url() {
      return (this as unknown as LazyResponse)[STATE].facts.url
    },
    get redirected() {
      return (this as unknown as LazyResponse)[STATE].facts.redirected
    },
    get type() {
      return (this as unknown as LazyResponse)[STATE].facts.type
    },
    get headers() {
      return (this as unknown as LazyResponse)[STATE].headers
    },
    async text(this: LazyResponse): Promise<string> {
      const taken = take(this, platform.text !== text)
      return taken ? decode((await taken).bytes) : platform.text.call(this)
    },
    async json(this: LazyResponse): Promise<unknown> {
      const taken = take(this, platform.json !== json)
      return taken ? JSON.parse(decode((await taken).bytes)) : platform.json.call(this)
    },
    async arrayBuffer(this: LazyResponse): Promise<ArrayBuffer> {
      const taken = take(this, platform.arrayBuffer !== arrayBuffer)
      if (!taken) return platform.arrayBuffer.call(this)
      const { bytes, shared } = await taken
      return shared ? bytes.slice().buffer : bytes.buffer
    },
    clone(this: LazyResponse): Response {
      const { body, facts, headers } = this[STATE]
      const bytes = isUntouched(this, this[STATE]) ? body.bytes : undefined
      if (bytes) return responseOf(bytes, this.status, facts, headers)
      return withFacts(platform.clone.call(this), facts, headers)
    },
  }
}
