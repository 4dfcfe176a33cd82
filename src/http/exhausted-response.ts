import type { KeyPoolExhaustedError } from '../errors.js'
import type { ErrorShape } from '../signals/provider.js'
import { lazyBodyOf, responseOf } from './lazy-response.js'
import { factsOf, withFacts } from './response-facts.js'

/**
 * The 429 that stands for an exhausted pool (RFC 6585 section 4), in a form that the SDKs of most APIs read as their own;
 * a 401 where every key is bad, which no retry mends.
 */
export function exhaustedResponse(error: KeyPoolExhaustedError, now: number, shape?: ErrorShape): Response {
  const bad = error.causes.length > 0 && error.causes.every(({ cause }) => cause === 'invalid-key')
  const headers = new Headers({ 'content-type': shape ? 'application/json' : 'application/problem+json' })
  // Some SDKs ask this before they retry by themselves: here it was waited for as long as the program allows.
  headers.set('x-should-retry', 'false')
  tellWhen(headers, error, now)
  const status = bad ? 401 : 429
  const type = bad ? 'authentication_error' : 'rate_limit_error'
  const statusText = bad ? 'Unauthorized' : 'Too Many Requests'
  const body = shape
    ? shape({ message: error.message, status, type, retryAfter: secondsUntil(error.retryAt, now) })
    : problemOf(error, status, statusText, type)
  return new Response(JSON.stringify(body), { status, statusText, headers })
}

/**
 * Problem details (RFC 9457), for a service whose errors' form is not known. Most clients read the message of an error from
 * `detail`, `message` or `error.message`: it is in each of them.
 */
function problemOf(error: KeyPoolExhaustedError, status: number, title: string, type: string): object {
  const { message, code, retryAt, causes } = error
  return {
    ...{ type: 'about:blank', title, status, detail: message, code, retryAt, causes, message },
    error: { message, type, code, param: null },
  }
}

/**
 * The server's own last refusal, as it goes to the caller when the pool has tried what there was to try: an SDK that would
 * sleep and ask again is told that it need not.
 */
export function lastRefusal(response: Response, error: KeyPoolExhaustedError, now: number): Response {
  const headers = new Headers(response.headers)
  headers.set('x-should-retry', 'false')
  if (!headers.has('retry-after')) tellWhen(headers, error, now)
  const bytes = lazyBodyOf(response)?.bytes
  return bytes
    ? responseOf(bytes, response.status, factsOf(response), headers)
    : withFacts(response, factsOf(response), headers)
}

function tellWhen(headers: Headers, { retryAt }: KeyPoolExhaustedError, now: number): void {
  const seconds = secondsUntil(retryAt, now)
  if (seconds === null) return
  headers.set('retry-after', String(Math.ceil(seconds)))
  headers.set('retry-after-ms', String(Math.round(seconds * 1000)))
}

function secondsUntil(date: Date | null, now: number): number | null {
  return date && Math.max(0, date.getTime() - now) / 1000
}
