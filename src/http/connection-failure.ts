import isNetworkError from 'is-network-error'
import { isError } from '../platform.js'

/**
 * Codes of a connection that failed, as the system, undici, Node's HTTP/2, node-fetch and Bun give them. Not among them
 * are those of a certificate that is not trusted, of what was asked, and of a response that is no HTTP: a second attempt
 * would meet the same.
 */
const CONNECTION_CODES: ReadonlySet<unknown> = new Set([
  'EADDRNOTAVAIL',
  'EAI_AGAIN',
  'EAI_FAIL',
  'EAI_NODATA',
  'EAI_NONAME',
  'ECONNABORTED',
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETRESET',
  'ENETUNREACH',
  'ENOBUFS',
  'ENOTCONN',
  'ENOTFOUND',
  'EPIPE',
  'ESOCKETTIMEDOUT',
  'ETIMEDOUT',
  'ETIMEOUT',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ERR_HTTP2_GOAWAY_SESSION',
  'ERR_HTTP2_SESSION_ERROR',
  'ERR_HTTP2_STREAM_CANCEL',
  'ERR_SOCKET_CLOSED',
  'ERR_SOCKET_CONNECTION_TIMEOUT',
  'ERR_STREAM_PREMATURE_CLOSE',
  'ConnectionAborted',
  'ConnectionClosed',
  'ConnectionRefused',
  'ConnectionReset',
  'ConnectionTimedOut',
  'ConnectionTimeout',
  'DNSResolveFailed',
  'FailedToOpenSocket',
  'NetworkUnreachable',
])

/** What undici says of a proxy that could not connect, under the name of an abort. */
const PROXY_FAILED = /^Proxy response \((?:502|503|504)\)/
/** What Deno says of a connection in words alone: hyper's and the system's own. */
const CONNECTION_WORDS =
  /client error \((?:Connect|SendRequest)\)|error trying to connect|dns error|socket hang up|broken pipe|other side closed|connection (?:was )?(?:refused|reset|closed|aborted|lost|error|timed out)|(?:network|host) is unreachable/i

/** How deep a chain of causes is followed. */
const MAX_DEPTH = 8

/**
 * Whether an error that a `fetch` rejected with says that the connection failed, so that trying again may help. It does not
 * where the call itself is at fault, where somebody gave up (an `AbortError`), or where other code has thrown.
 */
export function isConnectionFailure(error: unknown): boolean {
  const chain = causesOf(error)
  if (chain.some(({ message }) => PROXY_FAILED.test(message))) return true
  if (chain.some(({ name }) => name === 'AbortError')) return false
  if (chain.some(({ code }) => CONNECTION_CODES.has(code))) return true
  // What has a code that is none of these says what it is: no words are needed.
  if (chain.some(({ code, message }) => typeof code === 'string' && !CONNECTION_WORDS.test(message))) return false
  const [first, ...causes] = chain
  if (first?.name !== 'TypeError') return false
  // undici calls every failure 'fetch failed', its own refusals too: their cause says what they are.
  if (causes.length > 0) return causes.some(({ message }) => CONNECTION_WORDS.test(message))
  return isNetworkError(error) || CONNECTION_WORDS.test(first.message)
}

interface Failure {
  readonly name: string
  readonly message: string
  readonly code: unknown
}

/** An error, its cause, and so on; with all that an `AggregateError` gathers (one for each address that was tried). */
function causesOf(error: unknown): Failure[] {
  const found: Failure[] = []
  let level = [error]
  for (let depth = 0; depth < MAX_DEPTH && level.length > 0; depth++) {
    const errors = level.filter(isError).slice(0, MAX_DEPTH) as (Error & { code?: unknown; errors?: unknown })[]
    for (const { name, message, code } of errors) found.push({ name, message: String(message).slice(0, 500), code })
    level = errors.flatMap(({ cause, errors }) => [cause, ...(Array.isArray(errors) ? errors : [])])
  }
  return found
}

/** Codes of a connection that never came about: nothing was sent over it. */
const NOT_CONNECTED_CODES: ReadonlySet<unknown> = new Set([
  'EADDRNOTAVAIL',
  'EAI_AGAIN',
  'EAI_FAIL',
  'EAI_NODATA',
  'EAI_NONAME',
  'ECONNREFUSED',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETDOWN',
  'ENETUNREACH',
  'ENOTFOUND',
  'UND_ERR_CONNECT_TIMEOUT',
  'ERR_SOCKET_CONNECTION_TIMEOUT',
  'ConnectionRefused',
  'DNSResolveFailed',
  'FailedToOpenSocket',
])

/** Whether a connection failed before anything could be sent over it, so that no server has seen the request. */
export function neverConnected(error: unknown): boolean {
  const chain = causesOf(error)
  if (!isConnectionFailure(error)) return false
  return chain.some(
    ({ code, message }) =>
      NOT_CONNECTED_CODES.has(code) ||
      PROXY_FAILED.test(message) ||
      /client error \(Connect\)|dns error/i.test(message),
  )
}
