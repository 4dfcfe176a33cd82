import { isAbortSignal, isOwnRequest, isRequest } from '../platform.js'
import { bodyOfInit, bodyOfRequest, type CallBody } from './call-body.js'
import { adoptRequest } from './foreign.js'

/** What the caller asked for, read once: everything that a sending of it needs, however often it is sent. */
export interface Call {
  readonly method: string
  /** Absolute, as the caller gave it. */
  readonly url: string
  readonly origin: string
  /** The caller's own; copied for each sending, and never with a key in them. */
  readonly headers: Headers
  readonly body: CallBody
  readonly signal: AbortSignal | undefined
  readonly redirect: RequestRedirect
  readonly cache: RequestCache
  readonly rank: 0 | 1 | 2
  /** All else that `fetch` takes (and what the runtime takes beyond it, such as a dispatcher): passed on as it is. */
  readonly rest: RequestInit
  /** The headers without what the cache has added for the first hop alone; `undefined`: it has added nothing. */
  readonly unconditional?: Headers
  /**
   * The `Request` that was given, where it is the platform's own and has no body: what nobody can see of it goes with it
   * (undici's dispatcher).
   */
  readonly source: Request | undefined
  /**
   * The `Request` that was given, of whatever make. Its signal follows another only for as long as the request lives, so
   * that it must live as long as the call does, even when the program has dropped it.
   */
  readonly owner: Request | undefined
}

/**
 * What the standard reads of an init, each once: members may be inherited, or have a getter (Web IDL, "dictionary types").
 * Everything else is some platform's own (`dispatcher`, `next`, `cf`, `proxy`, `tls`, …) and is passed on as it is.
 */
const MEMBERS = [
  'method',
  'headers',
  'body',
  'signal',
  'redirect',
  'cache',
  'priority',
  'mode',
  'credentials',
  'integrity',
  'keepalive',
  'referrer',
  'referrerPolicy',
  'duplex',
  'window',
] as const
type Members = Partial<Record<(typeof MEMBERS)[number], unknown>>
const STANDARD: ReadonlySet<PropertyKey> = new Set(MEMBERS)

/** Methods that are what they are written as, of which nothing is to be checked (Fetch standard, "normalize"). */
const PLAIN_METHODS: ReadonlySet<unknown> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])
const NOTHING: RequestInit = {}
/** Copied for each sending, and never changed. */
let noHeaders: Headers | undefined
const REDIRECTS: ReadonlySet<string> = new Set(['follow', 'manual', 'error'])
/** The place in line, by priority. */
const RANKS: Readonly<Record<string, 0 | 1 | 2>> = { __proto__: null, high: 0, auto: 1, low: 2 } as never
/** The members that nearly all calls make do with. */
const PLAIN_MEMBERS: ReadonlySet<string> = new Set(['method', 'headers', 'body', 'signal', 'priority', 'redirect'])
/** `priority` is not yet in every runtime's types. */
type PlainInit = RequestInit & { priority?: string }

/**
 * Reads the arguments of `fetch` as the standard says.
 *
 * @param target - where the input leads, where that is known already
 * @param maxReplayBytes - how much of a `Request`'s body is kept so that it can be sent again
 * @throws TypeError the platform's own, for whatever its `Request` refuses.
 */
export function readCall(
  input: RequestInfo | URL,
  init: RequestInit | undefined,
  maxReplayBytes: number,
  target?: URL,
): Call {
  return readPlainCall(input, init, maxReplayBytes, target) ?? readAnyCall(input, init, maxReplayBytes)
}

/**
 * What nearly all calls are: a URL, and no more than a method, headers, a body of text or bytes, a signal, a priority, a
 * way with redirects, and what is the platform's own. There is nothing in it that the platform would have to check or
 * change, and making its `Request` takes longer than all the rest.
 */
function readPlainCall(
  input: RequestInfo | URL,
  init: RequestInit | undefined,
  maxReplayBytes: number,
  target: URL | undefined,
): Call | undefined {
  if (!target || isRequest(input) || target.username !== '' || target.password !== '') return undefined
  if (!isPlain(init)) return undefined
  let hasExtras = false
  if (init) {
    for (const name of Object.getOwnPropertyNames(init)) {
      if (PLAIN_MEMBERS.has(name)) continue
      if (STANDARD.has(name)) return undefined
      hasExtras = true
    }
    hasExtras ||= Object.getOwnPropertySymbols(init).length > 0
  }
  const { method = 'GET', headers, body, signal, priority, redirect = 'follow' } = (init ?? NOTHING) as PlainInit
  const rest: RequestInit = hasExtras ? (extrasOf(init) as RequestInit) : {}
  if (priority !== undefined) (rest as PlainInit).priority = priority
  const isPlainCall =
    PLAIN_METHODS.has(method) &&
    (signal === undefined || signal instanceof AbortSignal) &&
    (body === undefined || (isPlainBody(body) && method !== 'GET' && method !== 'HEAD')) &&
    (priority === undefined || priority in RANKS) &&
    REDIRECTS.has(redirect)
  // Members are read once, whatever has been found out by then.
  if (!isPlainCall) return readAnyCall(input, { ...rest, method, headers, body, signal, redirect }, maxReplayBytes)
  return {
    method,
    url: target.href,
    origin: target.origin,
    headers: headersOfInit(headers),
    body: body === undefined ? { kind: 'none' } : bodyOfInit(body as BodyInit),
    signal,
    redirect,
    cache: 'default',
    rank: priority === undefined ? 1 : RANKS[priority]!,
    rest,
    source: undefined,
    owner: undefined,
  }
}

function headersOfInit(headers: HeadersInit | undefined): Headers {
  if (headers !== undefined) return new Headers(headers)
  noHeaders ??= new Headers()
  return noHeaders
}

/** Text, or bytes in memory of their own. */
function isPlainBody(body: unknown): boolean {
  return typeof body === 'string' || (body instanceof Uint8Array && !isUnsteady(body as BodyInit))
}

function isPlain(init: RequestInit | null | undefined): boolean {
  return init === undefined || init === null || Object.getPrototypeOf(init) === Object.prototype
}

function readAnyCall(input: RequestInfo | URL, init: RequestInit | undefined, maxReplayBytes: number): Call {
  const owner = isRequest(input) ? input : undefined
  const given = owner && !isOwnRequest(owner) ? adoptRequest(owner) : input
  const { signal: givenSignal, headers: givenHeaders, body: givenBody, ...members } = membersOf(init)
  const body = (givenBody ?? undefined) as BodyInit | undefined
  // Once: an iterator can't be read again.
  const headers = givenHeaders === undefined ? undefined : new Headers(givenHeaders as HeadersInit)
  // The platform checks and normalises. Not with the signal, which it would listen to for as long as the request lives;
  // nor with the body, which it would take: an empty one stands for it, and is refused where any body would be.
  const isUsable = givenSignal === undefined || givenSignal === null || isAbortSignal(givenSignal)
  const asked: Record<string, unknown> = { ...members, signal: isUsable ? null : givenSignal }
  if (headers !== undefined) asked.headers = headers
  if (body !== undefined) asked.body = isUnsteady(body) ? body : ''
  const request = new Request(given, isDictionary(init) ? asked : (init as unknown as RequestInit))
  const signal = givenSignal === undefined ? owner?.signal : (givenSignal as AbortSignal | null)
  const { method: _m, redirect: _r, ...settings } = members
  const { priority } = members
  return {
    method: request.method,
    url: request.url,
    origin: originOf(request.url),
    headers: headers ?? new Headers(owner ? (given as Request).headers : undefined),
    body: body !== undefined ? bodyOfInit(body) : bodyOfRequest(request, maxReplayBytes),
    signal: signal ? asSignal(signal) : undefined,
    redirect: request.redirect,
    cache: request.cache,
    rank: priority === 'high' ? 0 : priority === 'low' ? 2 : 1,
    // The init makes a Request's own settings count for nothing where it has some itself (Fetch standard, `new Request()`).
    rest: { ...(owner ? settingsOf(given as Request) : undefined), ...settings, ...extrasOf(init) } as RequestInit,
    source: given === owner && request.body === null ? request : undefined,
    owner,
  }
}

function isDictionary(init: unknown): boolean {
  return init === undefined || init === null || typeof init === 'object' || typeof init === 'function'
}

function membersOf(init: RequestInit | undefined): Members {
  const members: Members = {}
  if (init === undefined || init === null || !isDictionary(init)) return members
  for (const name of MEMBERS) {
    const value = (init as Record<string, unknown>)[name]
    if (value !== undefined) members[name] = value
  }
  return members
}

/**
 * What an init holds that no standard knows; some platform does. Members may be inherited, have a getter, or be hidden from
 * enumeration, as those of the standard may.
 */
function extrasOf(init: RequestInit | undefined): object {
  const extras: Record<PropertyKey, unknown> = {}
  if (typeof init === 'function') return Object.assign(extras, init)
  if (init === undefined || init === null || !isDictionary(init)) return extras
  const from = init as Record<PropertyKey, unknown>
  // Not of the prototype of all objects, of whichever realm: what a program has put there is not meant for a fetch.
  for (let holder: object | null = init; holder !== null && !Object.hasOwn(holder, 'isPrototypeOf'); ) {
    for (const name of Reflect.ownKeys(holder)) {
      if (STANDARD.has(name) || name === 'constructor' || name in extras) continue
      const value = from[name]
      if (value !== undefined) extras[name] = value
    }
    holder = Object.getPrototypeOf(holder)
  }
  return extras
}

/** Memory that others may change or shrink while it is sent, which `fetch` refuses. */
function isUnsteady(body: BodyInit): boolean {
  const buffer: unknown = ArrayBuffer.isView(body) ? body.buffer : body
  const kind = Object.prototype.toString.call(buffer)
  if (kind === '[object SharedArrayBuffer]') return true
  return kind === '[object ArrayBuffer]' && (buffer as { resizable?: boolean }).resizable === true
}

function asSignal(signal: AbortSignal): AbortSignal {
  if (signal instanceof AbortSignal) return signal
  const like = signal as AbortSignal
  const controller = new AbortController()
  const abort = () => controller.abort(like.reason)
  if (like.aborted) abort()
  else like.addEventListener('abort', abort, { once: true })
  return controller.signal
}

/** The origin of an absolute URL. */
export function originOf(url: string): string {
  return new URL(url).origin
}

function settingsOf(request: Request): RequestInit {
  const { mode, credentials, cache, integrity, keepalive, referrer, referrerPolicy } = request
  // 'navigate' is a mode that a request may have and nobody may ask for.
  return {
    mode: mode === 'navigate' ? undefined : mode,
    credentials,
    cache,
    integrity,
    keepalive,
    referrer,
    referrerPolicy,
  }
}
