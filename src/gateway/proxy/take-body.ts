import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { Transform } from 'node:stream'
import { webBody } from './web-body.js'

/** A body that is said to be no longer is taken in whole: it can be sent again with the next key, and says its model. */
const WHOLE = 1024 * 1024

/** Why a body was not taken. */
export class BodyTooLarge extends Error {}

/** A request's body: none, whole in memory, or as it comes in. */
export type TakenBody =
  | { readonly kind: 'none' }
  | { readonly kind: 'whole'; readonly bytes: Uint8Array }
  | { readonly kind: 'stream'; readonly stream: ReadableStream<Uint8Array> }

/** How long a body is said to be; `undefined`: nothing is said, or there is none. */
export function lengthOf({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length']
  return length === undefined ? undefined : Number(length)
}

function hasMore(incoming: IncomingMessage): boolean {
  return (incoming as unknown as Http2ServerRequest).stream.endAfterHeaders === false
}

/** @throws BodyTooLarge */
export async function takeBody(incoming: IncomingMessage, most: number): Promise<TakenBody> {
  const length = lengthOf(incoming)
  // With HTTP/2 a body may come of which nothing was said.
  const isChunked =
    incoming.headers['transfer-encoding'] !== undefined ||
    (incoming.httpVersionMajor >= 2 && length === undefined && !incoming.readableEnded && hasMore(incoming))
  if (!isChunked && !length) return { kind: 'none' }
  if (length !== undefined && length > most) throw new BodyTooLarge()
  if (length !== undefined && length <= WHOLE) {
    return { kind: 'whole', bytes: await whole(incoming) }
  }
  let taken = 0
  const counted = new Transform({
    transform(chunk: Buffer, _, done) {
      taken += chunk.byteLength
      done(taken > most ? new BodyTooLarge() : null, chunk)
    },
  })
  incoming.on('error', error => counted.destroy(error))
  incoming.on('aborted', () => counted.destroy(new Error('The caller has gone.')))
  return { kind: 'stream', stream: webBody(incoming.pipe(counted)) }
}

/** All of a body. An iterator would cost several turns of the event loop. */
function whole(incoming: IncomingMessage): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    incoming.on('data', chunk => chunks.push(chunk as Buffer))
    incoming.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    incoming.on('error', reject)
  })
}
