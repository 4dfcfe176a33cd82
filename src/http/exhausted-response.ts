import type { KeyPoolExhaustedError } from '../errors.js'

/** The 429 that stands for an exhausted pool (RFC 6585 section 4), in a form that the SDKs of most APIs read as their own. */
export function exhaustedResponse(error: KeyPoolExhaustedError, now: number): Response {
  const headers = new Headers({ 'content-type': 'application/json' })
  if (error.retryAt) {
    const wait = Math.max(0, error.retryAt.getTime() - now)
    headers.set('retry-after', String(Math.ceil(wait / 1000)))
    headers.set('retry-after-ms', String(wait))
  }
  const body = { error: { message: error.message, type: 'rate_limit_error', code: error.code, param: null } }
  return new Response(JSON.stringify(body), { status: 429, statusText: 'Too Many Requests', headers })
}
