import type { ServerResponse } from 'node:http'
import { lazyBodyOf } from '../../http/lazy-response.js'
import { SMALL } from './upstream.js'

/**
 * Writes a response to a caller, as it comes: a small body at once, a longer one, or one of which nobody says how long it
 * is, piece by piece, no faster than the caller reads.
 *
 * @param headers - as they go back
 * @param watched - the body as it is looked at on its way; `undefined`: it is not
 */
export async function reply(
  response: Response,
  headers: Record<string, string | string[]>,
  watched: ReadableStream<Uint8Array> | null | undefined,
  outgoing: ServerResponse,
): Promise<void> {
  if (outgoing.destroyed) {
    await (watched ?? response.body)?.cancel()
    return
  }
  const { status } = response
  const whole = watched === undefined ? lazyBodyOf(response)?.bytes : undefined
  if (whole) {
    outgoing.writeHead(status, headers).end(whole)
    return
  }
  const body = watched === undefined ? response.body : watched
  if (!body) {
    outgoing.writeHead(status, headers).end()
    return
  }
  const length = response.headers.get('content-length')
  if (watched === undefined && length !== null && Number(length) <= SMALL) {
    let bytes: Uint8Array
    try {
      bytes = new Uint8Array(await response.arrayBuffer())
    } catch {
      // The service has broken off.
      outgoing.destroy()
      return
    }
    outgoing.writeHead(status, headers).end(bytes)
    return
  }
  outgoing.writeHead(status, headers)
  // The caller may act on the headers long before the first piece of the body.
  outgoing.flushHeaders()
  await pour(body, outgoing)
}

async function pour(body: ReadableStream<Uint8Array>, outgoing: ServerResponse): Promise<void> {
  const reader = body.getReader()
  const gone = () => void reader.cancel().catch(() => {})
  outgoing.once('close', gone)
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      if (!outgoing.write(value)) await drained(outgoing)
    }
    outgoing.end()
  } catch {
    // The service has broken off: so does this, that nobody takes the part for the whole.
    outgoing.destroy()
  } finally {
    outgoing.off('close', gone)
  }
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
