import type { AbortWatch } from '../abort-watch.js'
import type { Clock } from '../clock.js'

/** How much of a body is read before anyone asks for it, in bytes: a small response has ended as soon as it is here. */
export const READ_AHEAD_BYTES = 64 * 1024

/** What is to be told of a body while it is read. */
export interface BodyWatch {
  /** A chunk has come in. It stays the body's own: what is to be kept of it must be copied. */
  chunk?(bytes: Uint8Array): void
  /** All of it has come in; this is called once, or `cut` is. */
  whole?(): void
  /** It ended early: cancelled, failed, aborted, or dropped by everyone. */
  cut?(): void
  /** How far to read ahead of the reader, in bytes. @default 64 KiB */
  readonly ahead?: number
  /** Ends the body with its reason, even when all of it has come in already. */
  readonly signal?: AbortSignal | undefined
  readonly aborts?: AbortWatch
  /** How long someone who reads may wait for the next part. */
  readonly silence?: SilenceLimit | undefined
}

/** Ends a body whose source falls silent. */
export interface SilenceLimit {
  readonly milliseconds: number
  readonly clock: Pick<Clock, 'schedule'>
  /** What it fails with. */
  error(): Error
}

/**
 * A response's body that nothing is read of before it must be.
 *
 * It is read in one of three ways: as a whole (`take`), which needs no stream and costs a fraction of one; through the
 * stream that the platform's response holds (`pull`), at the reader's pace; or ahead of the reader (`readAhead`), up to a
 * bound, so that a caller who never reads a small body does not hold up what waits for its end. The three can follow
 * each other. What has been read and not yet handed on stands in `#queue`.
 *
 * Each chunk is copied as it comes in. It may lie in memory that others use (Node's small buffers share one), and a byte
 * stream takes the memory of what is put into it away from everybody else.
 */
export class LazyBody {
  /** The response that the bytes come from; `undefined` where they are in memory already. */
  readonly #source: Response | undefined
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined
  #queue: Uint8Array<ArrayBuffer>[]
  #queuedBytes: number
  #state: 'open' | 'ended' | 'failed'
  #failure: unknown
  /** The read that is under way, which all who wait for more share, and what ends their wait before it is done. */
  #reading: { readonly done: Promise<void>; readonly wake: () => void } | undefined
  #watches: BodyWatch[] = []
  #silence: SilenceLimit | undefined
  #unlisten: (() => void)[] = []
  /** Weakly: a signal may outlive the response, and must not keep what was read ahead. */
  #controller: WeakRef<ReadableByteStreamController> | undefined
  #isTaken = false
  /** Called when it is read as a whole, which makes reading ahead pointless. */
  onTaken: (() => void) | undefined
  #isStreamed = false

  private constructor(source: Response | undefined, bytes: Uint8Array<ArrayBuffer> | undefined) {
    this.#source = source
    this.#queue = bytes && bytes.byteLength > 0 ? [bytes] : []
    this.#queuedBytes = bytes?.byteLength ?? 0
    this.#state = source ? 'open' : 'ended'
  }

  /** The body of a response; it must have one that is not locked. */
  static of(source: Response): LazyBody {
    return new LazyBody(source, undefined)
  }

  /** Bytes in memory. They are never changed nor given away, only copied. */
  static ofBytes(bytes: Uint8Array<ArrayBuffer>): LazyBody {
    return new LazyBody(undefined, bytes)
  }

  /** Whether nothing of it has been handed on. */
  get isUntouched(): boolean {
    return !this.#isTaken && !this.#isStreamed
  }

  /** All of it, where it is in memory as one piece and nothing of it has been handed on. Not to be changed. */
  get bytes(): Uint8Array<ArrayBuffer> | undefined {
    if (this.#source || !this.isUntouched) return undefined
    return this.#queue[0] ?? new Uint8Array()
  }

  /** What has been read ahead and not yet handed on. Not to be changed. */
  get queued(): readonly Uint8Array[] {
    return this.#queue
  }

  get hasEnded(): boolean {
    return this.#state === 'ended'
  }

  /** Tells of the body from now on, and of what has been read of it already. Only while it is untouched. */
  watch(watch: BodyWatch): void {
    this.#watches.push(watch)
    for (const chunk of this.#queue) watch.chunk?.(chunk)
    if (this.#state === 'ended') watch.whole?.()
    if (this.#state === 'failed') watch.cut?.()
    const { signal, aborts, silence } = watch
    this.#silence ??= silence
    if (!signal || !aborts) return
    this.#unlisten.push(
      aborts.on(signal, () =>
        this.#abort(signal.reason ?? new DOMException('The operation was aborted.', 'AbortError')),
      ),
    )
  }

  /**
   * Reads until so many bytes stand ready, or what stands ready is enough, the body ends, or it has been taken as a whole. Never
   * rejects.
   */
  async readAhead(bytes = this.#ahead, isEnough?: () => boolean): Promise<void> {
    while (this.#state === 'open' && !this.#isTaken && this.#queuedBytes < bytes && !isEnough?.())
      await this.#readMore()
  }

  /**
   * All of it at once. To be called once, and only while it is untouched.
   *
   * @returns bytes that are the caller's own, unless they are shared: those of a body in memory are others' too, and must
   *   not be changed nor given away
   * @throws whatever the body failed with
   */
  async take(): Promise<{ bytes: Uint8Array<ArrayBuffer>; shared: boolean }> {
    this.#isTaken = true
    this.onTaken?.()
    // The platform has a shorter way than its own stream, which shows nothing of the parts.
    if (this.#source && !this.#silence && this.#state === 'open' && !this.#reader)
      await this.#share(this.#takeFrom(this.#source))
    while (this.#state === 'open') await this.#waitForMore()
    this.#release()
    if (this.#state === 'failed') throw this.#failure
    const bytes = this.#queue.length === 1 ? this.#queue[0]! : concat(this.#queue, this.#queuedBytes)
    this.#empty()
    return { bytes, shared: !this.#source }
  }

  // The three that the platform's stream calls.

  async pull(controller: ReadableByteStreamController): Promise<void> {
    this.#isStreamed = true
    if (this.#unlisten.length > 0) this.#controller ??= new WeakRef(controller)
    while (this.#queue.length === 0 && this.#state === 'open') await this.#waitForMore()
    const chunk = this.#queue.shift()
    if (chunk) {
      this.#queuedBytes -= chunk.byteLength
      controller.enqueue(this.#source ? chunk : chunk.slice())
      return
    }
    this.#release()
    if (this.#state === 'failed') throw this.#failure
    controller.close()
    // Someone waits with a buffer of their own: it is given back empty.
    controller.byobRequest?.respond(0)
  }

  async cancel(reason: unknown): Promise<void> {
    // Taken as a whole: the stream was cancelled so that the platform, too, counts the body as used.
    if (this.#isTaken) return
    this.#isStreamed = true
    this.#release()
    this.#empty()
    if (this.#state !== 'open') return
    this.#end('cut')
    await this.#cancelSource(reason)
  }

  /** Nobody can reach it any more. */
  drop(): void {
    if (!this.#isTaken) void this.cancel('The response was dropped unread').catch(ignored)
  }

  get #ahead(): number {
    let most = 0
    for (const { ahead } of this.#watches) most = Math.max(most, ahead ?? READ_AHEAD_BYTES)
    // A body of just that length must be seen to end.
    return most + 1
  }

  /** The same for someone who reads: no longer than the source may be silent. */
  async #waitForMore(): Promise<void> {
    const silence = this.#silence
    if (!silence) return this.#readMore()
    const cancel = silence.clock.schedule(() => this.#abort(silence.error()), silence.milliseconds)
    await this.#readMore()
    cancel()
  }

  #readMore(): Promise<void> {
    return this.#reading?.done ?? this.#share(this.#read())
  }

  /** Lets everyone who needs more wait for the same read, or until an abort. */
  #share(reading: Promise<void>): Promise<void> {
    let wake!: () => void
    const done = new Promise<void>(resolve => {
      wake = () => {
        this.#reading = undefined
        resolve()
      }
    })
    this.#reading = { done, wake }
    void reading.then(wake)
    return done
  }

  async #read(): Promise<void> {
    try {
      this.#reader ??= this.#source!.body!.getReader()
      const { done, value } = (await this.#reader.read()) as ReadableStreamReadResult<unknown>
      if (this.#state !== 'open') return
      if (done) return this.#end('whole')
      if (!ArrayBuffer.isView(value)) throw new TypeError('Received a chunk that is not a Uint8Array')
      if (value.byteLength > 0) this.#add(copyOf(value))
    } catch (error) {
      this.#fail(error)
    }
  }

  async #takeFrom(source: Response): Promise<void> {
    try {
      const bytes = new Uint8Array(await source.arrayBuffer())
      if (this.#state !== 'open') return
      if (bytes.byteLength > 0) this.#add(bytes)
      this.#end('whole')
    } catch (error) {
      this.#fail(error)
    }
  }

  #add(chunk: Uint8Array<ArrayBuffer>): void {
    for (const watch of this.#watches) watch.chunk?.(chunk)
    this.#queue.push(chunk)
    this.#queuedBytes += chunk.byteLength
  }

  #end(how: 'whole' | 'cut'): void {
    this.#state = 'ended'
    for (const watch of this.#watches) watch[how]?.()
  }

  #fail(error: unknown): void {
    if (this.#state !== 'open') return
    this.#end('cut')
    // What came before it is handed on first.
    this.#state = 'failed'
    this.#failure = error
  }

  #abort(reason: unknown): void {
    const wasOpen = this.#state === 'open'
    if (wasOpen) this.#end('cut')
    this.#state = 'failed'
    this.#failure = reason
    this.#empty()
    this.#release()
    this.#reading?.wake()
    try {
      this.#controller?.deref()?.error(reason)
    } catch {
      // The stream is closed and read to its end: the abort comes too late for it.
    }
    // The platform ends its own body; one of another make may know nothing of the signal.
    if (wasOpen) void this.#cancelSource(reason).catch(ignored)
  }

  async #cancelSource(reason: unknown): Promise<void> {
    if (this.#reader) await this.#reader.cancel(reason)
    else if (this.#source?.body?.locked === false) await this.#source.body.cancel(reason)
  }

  #empty(): void {
    this.#queue = []
    this.#queuedBytes = 0
  }

  /** Lets go of the signals. */
  #release(): void {
    for (const unlisten of this.#unlisten) unlisten()
    this.#unlisten = []
  }
}

/** The source may fail at being cancelled, and nobody is left to be told. */
function ignored(): void {}

/** The bytes of any view, in memory of their own. A `Buffer`'s own `slice` would share its memory. */
export function copyOf(view: ArrayBufferView): Uint8Array<ArrayBuffer> {
  return new Uint8Array(new Uint8Array(view.buffer, view.byteOffset, view.byteLength))
}

/** Puts chunks together, into memory of their own. */
export function concat(chunks: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(size)
  let offset = 0
  for (const chunk of chunks) {
    whole.set(chunk, offset)
    offset += chunk.byteLength
  }
  return whole
}
