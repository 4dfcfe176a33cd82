import { isWebStream } from '../platform.js'
import { copyOf } from './lazy-body.js'

/**
 * A stream of the web with what another kind of stream brings (one of Node, an async iterable); `undefined` where a value
 * is no stream at all.
 */
export function toWebStream(body: unknown): ReadableStream<Uint8Array> | undefined {
  if (isWebStream(body)) return body
  if (!isAsyncIterable(body)) return undefined
  const iterator = body[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await iterator.next()
      if (done) return controller.close()
      if (typeof value !== 'string' && !ArrayBuffer.isView(value)) {
        throw new TypeError('Received a chunk that is neither text nor bytes')
      }
      controller.enqueue(typeof value === 'string' ? new TextEncoder().encode(value) : copyOf(value))
    },
    async cancel(reason) {
      await iterator.return?.(reason)
    },
  })
}

/** Whether a value can be read as a stream, without beginning to. */
export function isStreamLike(body: unknown): boolean {
  return isWebStream(body) || isAsyncIterable(body)
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

/**
 * The stream again as one of the kind that it was made from: a `fetch` that gives out requests with streams of Node takes
 * no others.
 */
export function streamLike(original: unknown, stream: ReadableStream<Uint8Array>): BodyInit {
  if (isWebStream(original) || !isAsyncIterable(original)) return stream
  const { from } = original.constructor as { from?: (chunks: AsyncIterable<Uint8Array>) => BodyInit }
  return typeof from === 'function' ? from(stream as AsyncIterable<Uint8Array> & typeof stream) : stream
}
