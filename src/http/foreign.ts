import { describe } from '../describe.js'
import { KeypoolError } from '../errors.js'
import { isError, isWebStream } from '../platform.js'
import { LazyBody } from './lazy-body.js'
import { lazyResponse } from './lazy-response.js'
import { hasNullBody, isConstructible, withFacts } from './response-facts.js'
import { toWebStream } from './web-stream.js'

/** What other implementations' headers have in common with the platform's; node-fetch has `raw` besides. */
interface ForeignHeaders extends Iterable<[string, string]> {
  get(name: string): string | null
  raw?(): Record<string, string[]>
}

/** The platform's headers with the fields of another implementation's. */
export function headersOf(foreign: ForeignHeaders): Headers {
  const headers = new Headers()
  if (typeof foreign.raw === 'function') {
    for (const [name, values] of Object.entries(foreign.raw())) for (const value of values) headers.append(name, value)
  } else for (const [name, value] of foreign) headers.append(name, value)
  return headers
}

/** Members of a `Request` that `new Request` takes in an init of the same name. */
const SETTINGS = [
  'cache',
  'credentials',
  'integrity',
  'keepalive',
  'mode',
  'redirect',
  'referrer',
  'referrerPolicy',
] as const

/**
 * The platform's `Request` for one of another implementation or realm, which the platform's `fetch` would take for a text.
 *
 * @throws TypeError the platform's own, for whatever its `Request` refuses
 */
export function adoptRequest(foreign: Request): Request {
  const init: Record<string, unknown> = { method: foreign.method, headers: headersOf(foreign.headers as never) }
  for (const name of SETTINGS) {
    const value = foreign[name]
    // 'navigate' is a mode that a request may have and nobody may ask for.
    if (value !== undefined && !(name === 'mode' && value === 'navigate')) init[name] = value
  }
  if (foreign.body) {
    init.body = toWebStream(foreign.body)
    init.duplex = 'half'
  }
  return new Request(foreign.url, init as RequestInit)
}

/**
 * What the wrapped `fetch` gave, as a response that this library can work with.
 *
 * A response of the platform, or of another implementation that streams as the web does, is returned as it came. One whose
 * body is a stream of Node (node-fetch), or has no stream at all (polyfills), becomes a response of the platform, so that
 * all responses of a pool are alike.
 *
 * @throws KeypoolError with `ERR_INVALID_RESPONSE` for what is no response at all, as some mocks give
 */
export function adoptResponse(fetched: unknown): Response {
  if (fetched instanceof globalThis.Response) return fetched
  const given = (fetched ?? {}) as Response
  const { status, headers, body, url } = given as Partial<Response>
  if (
    typeof status !== 'number' ||
    typeof headers?.get !== 'function' ||
    typeof headers[Symbol.iterator] !== 'function'
  ) {
    throw invalidResponse(fetched)
  }
  if (typeof url === 'string' && typeof headers.has === 'function' && (body === null || isWebStream(body))) return given
  const isBodyless = body === null || hasNullBody(status)
  const stream = isBodyless ? null : body === undefined ? streamOfWhole(given) : toWebStream(body)
  if (stream === undefined) throw invalidResponse(fetched)
  const facts = {
    statusText: String(given.statusText ?? ''),
    url: String(url ?? ''),
    redirected: given.redirected === true,
    type: given.type ?? 'default',
  }
  const own = headersOf(headers as never)
  if (stream && isConstructible(status)) return lazyResponse(LazyBody.of(new Response(stream)), status, facts, own)
  const empty = withFacts(new Response(null, { status: isConstructible(status) ? status : 200 }), facts, own)
  return isConstructible(status) ? empty : Object.defineProperty(empty, 'status', { value: status, configurable: true })
}

/** The body of a response that can only be had as a whole; `undefined` where it can't be had at all. */
function streamOfWhole(given: Partial<Response>): ReadableStream<Uint8Array> | undefined {
  const read =
    typeof given.arrayBuffer === 'function'
      ? async () => new Uint8Array(await given.arrayBuffer!())
      : typeof given.text === 'function'
        ? async () => new TextEncoder().encode(await given.text!())
        : undefined
  if (!read) return undefined
  return new ReadableStream({
    async pull(controller) {
      const bytes = await read()
      if (bytes.byteLength > 0) controller.enqueue(bytes)
      controller.close()
    },
  })
}

function invalidResponse(given: unknown): KeypoolError {
  const what = isError(given) ? 'an error' : describe(given)
  return new KeypoolError(
    'ERR_INVALID_RESPONSE',
    `The wrapped fetch must resolve to a Response (with a status, headers and a body that can be read), got ${what}. A mock can give \`new Response(body, { status, headers })\`.`,
  )
}
