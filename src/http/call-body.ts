import { isArrayBuffer, isBlob, isFormData, isSearchParams, isWebStream } from '../platform.js'
import { concat } from './lazy-body.js'
import { isStreamLike } from './web-stream.js'

/** A request's body, and whether it can be sent again. */
export type CallBody =
  | { readonly kind: 'none' }
  /** Text, bytes, a form or a blob: sent as often as need be. */
  | { readonly kind: 'value'; readonly value: Exclude<BodyInit, ReadableStream> }
  /** A stream (or an async iterable, where the runtime takes one): sent once. */
  | { readonly kind: 'stream'; readonly value: ReadableStream }
  /** The body of a `Request`, whose source nobody can see: kept while it is sent, up to a bound. */
  | { readonly kind: 'request'; readonly request: Request; readonly kept: KeptBody }

/** How long a refused request waits for the rest of its body, which it needs to be sent again, in milliseconds. */
const REST_TIMEOUT_MS = 1_000

/** The body that goes with an `init`; what the caller could still change is copied, as `fetch` itself would. */
export function bodyOfInit(body: BodyInit): CallBody {
  if (isArrayBuffer(body)) return { kind: 'value', value: body.slice(0) }
  if (ArrayBuffer.isView(body)) {
    return { kind: 'value', value: new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice() }
  }
  if (typeof body === 'string' || isBlob(body)) return { kind: 'value', value: body }
  if (isSearchParams(body)) {
    return { kind: 'value', value: body instanceof URLSearchParams ? new URLSearchParams(body) : body }
  }
  if (typeof body === 'object' && isStreaming(body)) return { kind: 'stream', value: body }
  if (isFormData(body)) return { kind: 'value', value: body instanceof FormData ? copyOfForm(body) : body }
  // Anything else is its text, which is asked for once.
  return { kind: 'value', value: String(body) }
}

function copyOfForm(form: FormData): FormData {
  const copy = new FormData()
  for (const [name, value] of form) copy.append(name, value as string)
  return copy
}

/** A stream, or what can be read as one; a form of the package `form-data` is a stream of Node's older kind. */
function isStreaming(body: object): body is ReadableStream {
  return isStreamLike(body) || typeof (body as { pipe?: unknown }).pipe === 'function'
}

/** The body of a `Request` that this library owns. @param maxBytes - how much of it is kept so that it can be sent again */
export function bodyOfRequest(request: Request, maxBytes: number): CallBody {
  return request.body === null ? { kind: 'none' } : { kind: 'request', request, kept: new KeptBody(request, maxBytes) }
}

/** Whether a body that was sent, or is being sent, can be sent once more. */
export function canReplay(body: CallBody): boolean {
  switch (body.kind) {
    case 'none':
    case 'value':
      return true
    case 'stream':
      return false
    case 'request':
      return body.kept.bytes !== undefined
  }
}

/**
 * The same for a body that may still be being read: a server can refuse a request before it has taken all of it. What is
 * in memory is there in a moment; a stream that is slower than that is sent once.
 */
export async function becomesReplayable(body: CallBody): Promise<boolean> {
  if (body.kind !== 'request' || body.kept.bytes) return canReplay(body)
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<void>(resolve => {
    timer = setTimeout(resolve, REST_TIMEOUT_MS)
  })
  await Promise.race([body.kept.whole(), late])
  clearTimeout(timer)
  return canReplay(body)
}

/** Lets go of a body that will not be sent, as `fetch` does with one of a call that is aborted already. */
export function cancelBody(body: CallBody, reason: unknown): void {
  const stream = body.kind === 'stream' ? body.value : body.kind === 'request' ? body.request.body : null
  if (!isWebStream(stream) || stream.locked) return
  // Its source may fail at that, and nobody is left to be told.
  stream.cancel(reason).catch(() => {})
}

/** The content type that `fetch` gives a body when its caller names none (Fetch standard, "extract a body"). */
export function contentTypeOf(body: CallBody): string {
  if (body.kind !== 'value') return ''
  if (typeof body.value === 'string') return 'text/plain;charset=UTF-8'
  if (isSearchParams(body.value)) return 'application/x-www-form-urlencoded;charset=UTF-8'
  return isBlob(body.value) ? body.value.type : ''
}

/** The bytes of a body, for a hash; `undefined` where they can't be had, or differ from one sending to the next. */
export async function bytesOf(body: CallBody): Promise<Uint8Array<ArrayBuffer> | undefined> {
  switch (body.kind) {
    case 'none':
      return new Uint8Array()
    case 'value':
      // Each sending of a form draws a boundary of its own.
      if (isFormData(body.value)) return undefined
      return new Uint8Array(await new Response(body.value).arrayBuffer())
    case 'stream':
      return undefined
    case 'request':
      return body.kept.whole()
  }
}

/**
 * What a `Request`'s body said, read beside the sending: the first attempt streams as it would without us, and keeps
 * its length where the runtime knows it.
 */
export class KeptBody {
  /** The whole body; `undefined` while it is not all there, or when it is over the bound. */
  bytes: Uint8Array<ArrayBuffer> | undefined
  readonly #copy: Request
  readonly #maxBytes: number
  #reading: Promise<void> | undefined

  /** Must be made before the request is sent. */
  constructor(request: Request, maxBytes: number) {
    this.#copy = request.clone()
    this.#maxBytes = maxBytes
  }

  /** Begins to read: at the first sending, and not before, as nobody else pulls a stream that is not being sent. */
  start(): void {
    this.#reading ??= this.#read()
  }

  /** The whole body once it is there; `undefined` if it is over the bound, or failed. */
  async whole(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    this.start()
    await this.#reading
    return this.bytes
  }

  async #read(): Promise<void> {
    const reader = this.#copy.body!.getReader()
    const chunks: Uint8Array[] = []
    let size = 0
    try {
      for (;;) {
        const { done, value } = (await reader.read()) as ReadableStreamReadResult<unknown>
        if (done) break
        // Whatever else a stream may hold is refused where it is sent.
        if (!ArrayBuffer.isView(value) || size + value.byteLength > this.#maxBytes) {
          // Cancelling one branch of a tee settles only with the other: not to be waited for.
          void reader.cancel()
          return
        }
        size += value.byteLength
        chunks.push(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
      }
    } catch {
      // The body failed at its source: its sending, which reads the other branch, fails with the same error.
      return
    }
    this.bytes = concat(chunks, size)
  }
}
