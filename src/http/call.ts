import { bodyOfInit, bodyOfRequest, type CallBody } from './call-body.js'

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
}

/**
 * Reads the arguments of `fetch` as the standard says.
 *
 * @throws TypeError the platform's own, for whatever its `Request` refuses.
 */
export function readCall(input: RequestInfo | URL, init: RequestInit | undefined): Call {
  const ofRequest = input instanceof Request
  const body = init?.body ?? undefined
  const signal = init?.signal === undefined ? (ofRequest ? input.signal : undefined) : (init.signal ?? undefined)
  // The platform checks and normalises. Not with the signal, which it would listen to for as long as the request lives;
  // nor with the body, which it would take: an empty one stands for it, and is refused where any body would be.
  const asked: RequestInit = { ...init, signal: signal === undefined || signal instanceof AbortSignal ? null : signal }
  if (body !== undefined) asked.body = ''
  const request = new Request(input, asked)
  const { method: _m, headers: _h, body: _b, signal: _s, redirect: _r, ...own } = init ?? {}
  return {
    method: request.method,
    url: request.url,
    origin: originOf(request.url),
    headers: new Headers(init?.headers ?? (ofRequest ? input.headers : undefined)),
    body: body !== undefined ? bodyOfInit(body) : bodyOfRequest(request),
    signal,
    redirect: request.redirect,
    cache: request.cache,
    rank: rankOf(init),
    rest: ofRequest ? { ...settingsOf(request), ...own } : own,
  }
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

/** `priority` of the fetch standard: high before auto before low. */
function rankOf(init: RequestInit | undefined): 0 | 1 | 2 {
  return init?.priority === 'high' ? 0 : init?.priority === 'low' ? 2 : 1
}
