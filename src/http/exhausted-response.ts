import type { KeyPoolExhaustedError } from '../errors.js'

/**
 * The 429 that stands for an exhausted pool (RFC 6585 section 4), in a form that the SDKs of most APIs read as their own;
 * a 401 where every key is bad, which no retry mends.
 */
export function exhaustedResponse(error: KeyPoolExhaustedError, now: number): Response {
  const headers = new Headers({ 'content-type': 'application/json' })
  const bad = error.causes.length > 0 && error.causes.every(({ cause }) => cause === 'invalid-key')
  // Some SDKs ask this before they retry by themselves: here it was waited for as long as the program allows.
  headers.set('x-should-retry', 'false')
  if (error.retryAt) {
    const wait = Math.max(0, error.retryAt.getTime() - now)
    headers.set('retry-after', String(Math.ceil(wait / 1000)))
    headers.set('retry-after-ms', String(wait))
  }
  const body = {
    error: {
      message: error.message,
      type: bad ? 'authentication_error' : 'rate_limit_error',
      code: error.code,
      param: null,
    },
  }
  return new Response(JSON.stringify(body), {
    status: bad ? 401 : 429,
    statusText: bad ? 'Unauthorized' : 'Too Many Requests',
    headers,
  })
}
