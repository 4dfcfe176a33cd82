import type { Readable } from 'node:stream'

/**
 * A stream of Node's as one of the web's, read no faster than that is.
 *
 * Not `Readable.toWeb`: that one puts what still comes in into a stream that was cancelled, and throws where nobody can
 * catch it (Node 20).
 */
export function webBody(body: Readable): ReadableStream<Uint8Array> {
  let isOver = false
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        let pieces: Buffer[] = []
        // What comes in one read goes on in one piece, in however many it was sent.
        const flush = () => {
          if (isOver || pieces.length === 0) return
          controller.enqueue(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces))
          pieces = []
          if ((controller.desiredSize ?? 0) <= 0) body.pause()
        }
        const fail = (error: Error) => {
          flush()
          if (isOver) return
          isOver = true
          controller.error(error)
        }
        body.on('data', (chunk: Buffer) => {
          if (isOver) return
          pieces.push(chunk)
          if (pieces.length === 1) queueMicrotask(flush)
        })
        body.on('end', () => {
          flush()
          if (isOver) return
          isOver = true
          controller.close()
        })
        // Also afterwards: an error that nobody listens for would end the process.
        body.on('error', fail)
        body.on('close', () => fail(new Error('The body was cut off.')))
        body.pause()
      },
      pull() {
        body.resume()
      },
      cancel() {
        isOver = true
        body.destroy()
      },
    },
    { highWaterMark: 1 },
  )
}
