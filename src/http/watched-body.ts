import type { AbortWatch } from '../abort-watch.js'
import { canRemake, withBody } from './remade-response.js'

/** How much of a body is taken in before anyone reads it, in bytes: small answers are over as soon as they are here. */
export const READ_AHEAD = 64 * 1024

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
export function byteStream(
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
