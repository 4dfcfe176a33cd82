import { isRequest } from '../../platform.js'
import { BodyTooLarge } from '../proxy/take-body.js'
import { type RequestBody, readRequestBody } from './request-body.js'

type Input = Parameters<typeof globalThis.fetch>[0]

/** A body that is longer is not read before it is sent, in bytes. */
const LONGEST = 1024 * 1024

/** A call of `fetch`, read once: what is looked at is what is sent. */
export interface CodeCall {
  readonly url: string
  readonly method: string
  /** How long the body is, in bytes; `undefined`: that shows only while it is sent. */
  readonly length: number | undefined
  readonly body: RequestBody
  /** Sends it. A body that turns out to be longer fails with {@link BodyTooLarge}. */
  send(fetch: typeof globalThis.fetch, maxBody: number, priority: 'high' | 'auto' | 'low'): Promise<Response>
}

/**
 * Reads a call: its body too, where it is not too long, of whatever kind it is.
 *
 * @param looks - whether anybody wants to look at the body
 */
export async function readCall(input: Input, given: RequestInit | undefined, looks: boolean): Promise<CodeCall> {
  const init: RequestInit = { ...given }
  const request = isRequest(input) ? input : undefined
  // An object may say another URL each time that it is asked.
  const url = request?.url ?? String(input)
  if (!request && typeof input === 'object' && String(input) !== url) {
    throw new TypeError('The URL is an object that says another URL each time.')
  }
  const method = String(init.method ?? request?.method ?? 'GET').toUpperCase()
  const headers = new Headers(init.headers ?? request?.headers)
  const own = init.body ?? undefined
  const { sent, bytes, type, isStream } = !looks ? NO_BODY : own ? await ofInit(own) : await ofRequest(request)
  if (type !== undefined && !headers.has('content-type')) headers.set('content-type', type)
  const length = isStream ? undefined : (bytes?.byteLength ?? 0)
  const body: RequestBody =
    bytes || isStream
      ? readRequestBody(bytes && bytes.byteLength <= LONGEST ? bytes : undefined, {
          ...{ type: headers.get('content-type') ?? undefined, coding: headers.get('content-encoding') ?? undefined },
        })
      : { kind: 'none' }
  return {
    ...{ url, method, length, body },
    send(fetch, maxBody, priority) {
      const rest = { ...init, method, priority } as RequestInit
      if (sent === undefined) return fetch(request ?? url, rest)
      const counted = sent instanceof ReadableStream ? sent.pipeThrough(atMost(maxBody)) : sent
      const streamed = sent instanceof ReadableStream ? { duplex: 'half' } : {}
      return fetch(request ?? url, { ...rest, ...streamed, headers, body: counted } as RequestInit)
    },
  }
}

interface ReadBody {
  /** What is to be sent; `undefined`: what is there anyway. */
  readonly sent: BodyInit | undefined
  readonly bytes: Uint8Array | undefined
  readonly type: string | undefined
  readonly isStream: boolean
}

const NO_BODY: ReadBody = { sent: undefined, bytes: undefined, type: undefined, isStream: false }

async function ofInit(body: BodyInit): Promise<ReadBody> {
  const isIterable = typeof body === 'object' && Symbol.asyncIterator in body && !(body instanceof Blob)
  if (body instanceof ReadableStream || isIterable) {
    const stream = new Response(body).body!
    return { sent: stream, bytes: undefined, type: undefined, isStream: true }
  }
  // Made of it once: bytes and forms may be changed by whoever has them.
  const made = new Response(body)
  const type = made.headers.get('content-type') ?? undefined
  const bytes = new Uint8Array(await made.arrayBuffer())
  return { sent: typeof body === 'string' ? body : bytes, bytes, type, isStream: false }
}

async function ofRequest(request: Request | undefined): Promise<ReadBody> {
  if (!request?.body) return NO_BODY
  const { body } = request.clone()
  const reader = (body as ReadableStream<Uint8Array>).getReader()
  const chunks: Uint8Array[] = []
  let size = 0
  for (;;) {
    const { done, value } = await reader.read()
    if (done) break
    chunks.push(value)
    size += value.byteLength
    if (size <= LONGEST) continue
    void reader.cancel()
    return { sent: request.body, bytes: undefined, type: undefined, isStream: true }
  }
  const bytes = new Uint8Array(size)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return { sent: undefined, bytes, type: undefined, isStream: false }
}

function atMost(bytes: number): TransformStream<Uint8Array, Uint8Array> {
  let taken = 0
  return new TransformStream({
    transform(chunk, controller) {
      taken += chunk.byteLength
      if (taken > bytes) controller.error(new BodyTooLarge())
      else controller.enqueue(chunk)
    },
  })
}
