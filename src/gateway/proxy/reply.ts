import type { ServerResponse } from 'node:http'
import { constants, type Http2ServerResponse } from 'node:http2'
import { lazyBodyOf } from '../../http/lazy-response.js'
import { SMALL } from './upstream.js'

/**
 * Writes a response to a caller, as it comes: a small body at once, a longer one, or one of which nobody says how long it
 * is, piece by piece, no faster than the caller reads. Whoever reads nothing for a time is cut off.
 *
 * @param headers - as they go back
 * @param patience - how long the caller may read nothing, in milliseconds
 */
export async function reply(
  response: Response,
  headers: Record<string, string | string[]>,
  outgoing: ServerResponse,
  patience: number,
): Promise<void> {
  const { status } = response
  if (isGone(outgoing)) {
    await response.body?.cancel()
    return
  }
  const whole = lazyBodyOf(response)?.bytes
  const body = whole ? null : response.body
  if (!body) {
    outgoing.writeHead(status, headers)
    end(outgoing, patience, whole)
    return
  }
  const length = response.headers.get('content-length')
  if (length !== null && Number(length) <= SMALL) {
    let bytes: Uint8Array
    try {
      bytes = new Uint8Array(await response.arrayBuffer())
    } catch {
      // The service has broken off.
      outgoing.destroy()
      return
    }
    outgoing.writeHead(status, headers)
    end(outgoing, patience, bytes)
    return
  }
  outgoing.writeHead(status, headers)
  // The caller may act on the headers long before the first piece of the body.
  outgoing.flushHeaders()
  await pour(body, outgoing, patience)
}

async function pour(body: ReadableStream<Uint8Array>, outgoing: ServerResponse, patience: number): Promise<void> {
  const reader = body.getReader()
  const gone = () => void reader.cancel().catch(() => {})
  outgoing.once('close', gone)
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      if (outgoing.write(value)) continue
      timed(outgoing, patience)
      await drained(outgoing)
      timed(outgoing, 0)
    }
    end(outgoing, patience)
  } catch {
    // The service has broken off: so does this, that nobody takes the part for the whole.
    outgoing.destroy()
  } finally {
    outgoing.off('close', gone)
  }
}

function end(outgoing: ServerResponse, patience: number, bytes?: Uint8Array): void {
  outgoing.end(bytes)
  if (outgoing.writableFinished || (outgoing.socket?.writableLength ?? 0) === 0) return
  timed(outgoing, patience)
  // Before the server looks how long it will wait for the next request.
  outgoing.prependOnceListener('finish', () => timed(outgoing, 0))
}

/**
 * Cuts a connection off on which nothing goes out for so long, in milliseconds; `0`: no more. What goes out slowly counts, as the
 * socket looks how much is left of what was written.
 */
function timed(outgoing: ServerResponse, milliseconds: number): void {
  // With HTTP/2 it is one of several on its connection.
  const { stream } = outgoing as unknown as Partial<Http2ServerResponse>
  if (stream) stream.setTimeout(milliseconds, () => stream.close(constants.NGHTTP2_CANCEL))
  // One that stands behind others on its connection has no socket yet.
  else outgoing.socket?.setTimeout(milliseconds)
}

function isGone(outgoing: ServerResponse): boolean {
  return (outgoing as unknown as Partial<Http2ServerResponse>).stream?.destroyed ?? outgoing.destroyed
}

function drained(outgoing: ServerResponse): Promise<void> {
  return new Promise(resolve => {
    const go = () => {
      outgoing.off('drain', go)
      outgoing.off('close', go)
      resolve()
    }
    outgoing.on('drain', go)
    outgoing.on('close', go)
  })
}
