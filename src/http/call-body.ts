/** How much of a `Request`'s body is kept so that it can be sent again, in bytes. */
const REPLAY_BOUND = 1024 * 1024

/** A request's body, and whether it can be sent again. */
export type CallBody =
  | { readonly kind: 'none' }
  /** Text, bytes, a form or a blob: sent as often as need be. */
  | { readonly kind: 'value'; readonly value: Exclude<BodyInit, ReadableStream> }
  /** A stream (or an async iterable, where the runtime takes one): sent once. */
  | { readonly kind: 'stream'; readonly value: ReadableStream }
  /** The body of a `Request`, whose source nobody can see: kept while it is sent, up to a bound. */
  | { readonly kind: 'request'; readonly request: Request; readonly kept: KeptBody }

/** The body that goes with an `init`; what the caller could still change is copied, as `fetch` itself would. */
export function bodyOfInit(body: BodyInit): CallBody {
  if (body instanceof ArrayBuffer) return { kind: 'value', value: body.slice(0) }
  if (ArrayBuffer.isView(body)) {
    return { kind: 'value', value: new Uint8Array(body.buffer, body.byteOffset, body.byteLength).slice() }
  }
  if (body instanceof URLSearchParams) return { kind: 'value', value: new URLSearchParams(body) }
  if (body instanceof FormData) {
    const copy = new FormData()
    for (const [name, value] of body) copy.append(name, value as string)
    return { kind: 'value', value: copy }
  }
  if (typeof body === 'string' || isLikeBlobOrForm(body)) return { kind: 'value', value: body }
  if (typeof body === 'object' && isStreaming(body)) return { kind: 'stream', value: body }
  // Anything else is its text, which is asked for once.
  return { kind: 'value', value: String(body) }
}

/** Those of the platform, and what others have made in their likeness. */
function isLikeBlobOrForm(body: unknown): body is Blob {
  return /^\[object (?:Blob|File|FormData)\]$/.test(Object.prototype.toString.call(body))
}

function isStreaming(body: object): body is ReadableStream {
  return body instanceof ReadableStream || Symbol.asyncIterator in body
}

/** The body of a `Request` that this library owns; `undefined` init body. */
export function bodyOfRequest(request: Request): CallBody {
  return request.body === null ? { kind: 'none' } : { kind: 'request', request, kept: new KeptBody(request) }
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

/** Lets go of a body that will not be sent, as `fetch` does with one of a call that is aborted already. */
export function cancelBody(body: CallBody, reason: unknown): void {
  const stream = body.kind === 'stream' ? body.value : body.kind === 'request' ? body.request.body : null
  if (!(stream instanceof ReadableStream) || stream.locked) return
  // Its source may fail at that, and nobody is left to be told.
  stream.cancel(reason).catch(() => {})
}

/** The content type that `fetch` gives a body when its caller names none (Fetch standard, "extract a body"). */
export function contentTypeOf(body: CallBody): string {
  if (body.kind !== 'value') return ''
  if (typeof body.value === 'string') return 'text/plain;charset=UTF-8'
  if (body.value instanceof URLSearchParams) return 'application/x-www-form-urlencoded;charset=UTF-8'
  return body.value instanceof Blob ? body.value.type : ''
}

/** The bytes of a body, for a hash; `undefined` where they can't be had, or differ from one sending to the next. */
export async function bytesOf(body: CallBody): Promise<Uint8Array<ArrayBuffer> | undefined> {
  switch (body.kind) {
    case 'none':
      return new Uint8Array()
    case 'value':
      // Each sending of a form draws a boundary of its own.
      if (body.value instanceof FormData) return undefined
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
  #reading: Promise<void> | undefined

  /** Must be made before the request is sent. */
  constructor(request: Request) {
    this.#copy = request.clone()
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
        if (!(value instanceof Uint8Array) || size + value.byteLength > REPLAY_BOUND) {
          // Cancelling one branch of a tee settles only with the other: not to be waited for.
          void reader.cancel()
          return
        }
        size += value.byteLength
        chunks.push(value)
      }
    } catch {
      // The body failed at its source: its sending, which reads the other branch, fails with the same error.
      return
    }
    this.bytes = concat(chunks, size)
  }
}

export function concat(chunks: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    whole.set(chunk, offset)
    offset += chunk.byteLength
  }
  return whole
}
