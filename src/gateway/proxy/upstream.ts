import { lookup as systemLookup } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { pipeline, Readable, type Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { Agent } from 'undici'
import { KeypoolError } from '../../errors.js'
import { responseOf } from '../../http/lazy-response.js'
import { isPrivate, ranges } from './address.js'
import { webBody } from './web-body.js'

/** A body that is said to be no longer comes, and goes on, in one piece. */
export const SMALL = 64 * 1024
/** Answers with these have no body. */
const BODYLESS: ReadonlySet<number> = new Set([101, 204, 205, 304])

export interface UpstreamOptions {
  /** How long a service may be silent, before its answer and within it, in milliseconds. */
  readonly silence: number
  /** Finds the addresses of a name. @default the system's */
  readonly lookup?: typeof systemLookup
  /** Private addresses that may be connected to: any, or those in ranges. */
  readonly allowPrivate: boolean | readonly string[]
}

export interface Upstream {
  readonly fetch: typeof globalThis.fetch
  close(): Promise<void>
}

/**
 * A `fetch` for what is behind the gateway: bodies come as they are sent, redirects are the caller's to follow, and no
 * address is connected to that is not of the public internet, unless it is allowed: checked at the connection, so that no
 * name that resolves to another address later gets round it. Texts come unpacked, as they are to be looked through.
 */
export function createUpstream({ allowPrivate, silence, lookup: find = systemLookup }: UpstreamOptions): Upstream {
  const isAllowed = allowPrivate === true ? () => true : ranges(allowPrivate === false ? [] : allowPrivate)
  const refuse = (host: string, address: string) =>
    isPrivate(address) && !isAllowed(address)
      ? new KeypoolError('ERR_ADDRESS_NOT_ALLOWED', `${host} is at an address that is not public (${address}).`)
      : undefined

  const lookup: LookupFunction = (host, options, callback) => {
    find(host, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0)
      const open = addresses.filter(({ address }) => !refuse(host, address))
      const [first] = open
      if (!first) return callback(refuse(host, addresses[0]?.address ?? '') ?? new Error('no address'), '', 0)
      if (options.all) (callback as unknown as (error: null, all: typeof open) => void)(null, open)
      else callback(null, first.address, first.family)
    })
  }
  const agent = new Agent({
    connect: { lookup, timeout: 10_000 },
    headersTimeout: silence,
    bodyTimeout: silence,
    pipelining: 1,
    connections: 512,
  })

  async function fetch(input: RequestInfo | URL, init: RequestInit = {}): Promise<Response> {
    const request = input instanceof Request ? input : undefined
    const url = new URL(request?.url ?? String(input))
    const host = url.hostname.replace(/^\[|\]$/g, '')
    // An address needs no lookup, so that it is not asked.
    const refusal = isIP(host) ? refuse(host, host) : undefined
    if (refusal) throw new TypeError('fetch failed', { cause: refusal })
    const method = init.method ?? request?.method ?? 'GET'
    const body = init.body ?? request?.body
    const signal = init.signal ?? request?.signal
    const given = init.headers ?? request?.headers
    const headers = given instanceof Headers ? given : new Headers(given)
    try {
      const answer = await agent.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: method as 'GET',
        headers: { ...Object.fromEntries(headers), 'accept-encoding': 'identity' },
        body: body === undefined || body === null ? null : toNode(body),
        signal: signal ?? undefined,
        onInfo: informational(silence),
      })
      const status = answer.statusCode
      const fields = new Headers()
      for (const [name, value] of Object.entries(answer.headers)) {
        for (const each of Array.isArray(value) ? value : [value])
          if (each !== undefined) fields.append(name, sendable(each))
      }
      if (BODYLESS.has(status) || method === 'HEAD') {
        // It may say that it has a body, and break off before that is there: nobody is waiting for it.
        answer.body.on('error', () => {}).resume()
        return respond(null, status, fields, url)
      }
      // Whoever keeps it must not give it to those that can't unpack it.
      if (fields.has('content-encoding') && !/accept-encoding|\*/i.test(fields.get('vary') ?? '')) {
        fields.append('vary', 'accept-encoding')
      }
      const length = Number(fields.get('content-length') ?? Number.NaN)
      // A small body is there with its headers, or a moment later: a stream would cost more than all the rest.
      if (length <= SMALL && !isPackedText(fields)) {
        const bytes = (await answer.body.bytes()) as Uint8Array<ArrayBuffer>
        const facts = { statusText: '', url: url.href, redirected: false, type: 'basic' } as const
        return responseOf(bytes, inRange(status), facts, fields)
      }
      return respond(webBody(plain(answer.body, fields)), status, fields, url)
    } catch (error) {
      if (signal?.aborted) throw signal.reason
      throw new TypeError('fetch failed', { cause: error })
    }
  }
  return { fetch: fetch as typeof globalThis.fetch, close: () => agent.destroy() }
}

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  br: createBrotliDecompress,
  deflate: createInflate,
}
/** Media and archives: nothing in them is read here. */
const NO_TEXT = /^(?:image\/(?!svg)|audio\/|video\/|font\/|application\/(?:octet-stream|zip|gzip|x-tar|pdf)\b)/i

function decoderOf(headers: Headers): (() => Transform) | undefined {
  return DECODERS[headers.get('content-encoding')?.trim().toLowerCase() ?? '']
}

/** Whether a text was packed, although that was not asked for. */
function isPackedText(headers: Headers): boolean {
  return decoderOf(headers) !== undefined && !NO_TEXT.test(headers.get('content-type') ?? '')
}

/**
 * Informational answers count as no answer: the time that a service has for one goes on (RFC 9110 section 15.2). undici lets
 * whoever sends them begin anew each time.
 */
function informational(silence: number): () => void {
  const startedAt = performance.now()
  return () => {
    if (performance.now() - startedAt < silence) return
    throw Object.assign(new Error('No answer but informational ones.'), { code: 'UND_ERR_HEADERS_TIMEOUT' })
  }
}

/** What is read on its way (what refusals mean, tokens that were taken, keys that are given back) must be plain. */
function plain(body: Readable, headers: Headers): Readable {
  if (!isPackedText(headers)) return body
  const decoder = decoderOf(headers)!()
  headers.delete('content-encoding')
  headers.delete('content-length')
  const tag = headers.get('etag')
  // The same representation, but no more the same bytes (RFC 9110 section 8.8.1).
  if (tag?.startsWith('"')) headers.set('etag', `W/${tag}`)
  // Whichever of the two ends ends the other; who reads the second learns of it.
  return pipeline(body, decoder, () => {})
}

/** A field's bytes, one to a character, as they go on: some servers send UTF-8. */
function sendable(value: string): string {
  return /[^\0-\xff]/.test(value) ? Buffer.from(value, 'utf8').toString('latin1') : value
}

function toNode(body: BodyInit): string | Uint8Array | Readable {
  if (typeof body === 'string' || body instanceof Uint8Array) return body
  if (body instanceof ArrayBuffer) return new Uint8Array(body)
  const stream = body instanceof ReadableStream ? body : new Response(body).body!
  // It may fail before anybody has begun to read it: the request then fails for a reason of its own.
  return Readable.fromWeb(stream as Parameters<typeof Readable.fromWeb>[0]).on('error', () => {})
}

function respond(body: ReadableStream | null, status: number, headers: Headers, url: URL): Response {
  return located(new Response(body, { status: inRange(status), headers }), url)
}

/** Other statuses are none that a response could have. */
function inRange(status: number): number {
  return status < 200 || status > 599 ? 502 : status
}

function located(response: Response, url: URL): Response {
  Object.defineProperty(response, 'url', { value: url.href, configurable: true })
  return response
}
