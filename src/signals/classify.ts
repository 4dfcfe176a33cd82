import type { Outcome } from './outcome.js'
import { readWait } from './wait-hint.js'

/** Statuses with which a server speaks of itself, not of the request; 5xx besides are those too but for the fixed ones. */
const FINAL_SERVER_ERRORS: ReadonlySet<number> = new Set([501, 505, 506, 508, 510, 511])

/** Words by which a 403 says that the key is bad, in codes and messages alike. A 403 without them is about the resource. */
const BAD_KEY =
  /\b(?:invalid|incorrect|unknown|missing|expired|revoked|disabled|deactivated|blocked|suspended)[\s_-]*(?:api|access|subscription|auth)?[\s_-]*(?:key|token|credentials?)\b|\b(?:api|access|subscription)?[\s_-]*(?:key|token)[\s_-]*(?:is|was|has been|not)?[\s_-]*(?:not[\s_-]*valid|invalid|incorrect|unknown|expired|revoked|disabled|deactivated|blocked|suspended)\b/i

/** Whether the beginning of the body is needed to tell what a response means. */
export function needsBody({ status, headers }: Response): boolean {
  return status === 403 && /json|text|xml/i.test(headers.get('content-type') ?? '') && !isRateLimited403(headers)
}

/**
 * What a response means for the key, from its status and headers, and the body's beginning where `needsBody` asked.
 *
 * 429 is a limit and 402 a quota; 401 is a bad key, and so is a 403 that says so; a 403 that says when to come back
 * is a limit; 408, 425, 529 and most 5xx are the server's trouble. All else is the caller's answer.
 */
export function classify(response: Response, body: string, now: number): Outcome {
  const { status, headers } = response
  switch (status) {
    case 429:
      return { kind: 'refused', cause: 'rate-limit', wait: readWait(headers, now), response }
    case 402:
      return { kind: 'refused', cause: 'quota', wait: readWait(headers, now), response }
    case 401:
      return { kind: 'invalid-key', response }
    case 403:
      if (isRateLimited403(headers))
        return { kind: 'refused', cause: 'rate-limit', wait: readWait(headers, now), response }
      // RFC 6750 section 3.1: the token is expired, revoked, malformed or invalid.
      if (/error="?invalid_token/i.test(headers.get('www-authenticate') ?? '') || BAD_KEY.test(body)) {
        return { kind: 'invalid-key', response }
      }
      return { kind: 'answer', response }
    case 408:
    case 425:
      return { kind: 'trouble', cause: undefined, wait: readWait(headers, now), response }
    case 503:
    case 529:
      return { kind: 'trouble', cause: 'overload', wait: readWait(headers, now), response }
  }
  if (status >= 500 && !FINAL_SERVER_ERRORS.has(status)) {
    return { kind: 'trouble', cause: undefined, wait: readWait(headers, now), response }
  }
  return { kind: 'answer', response }
}

/** GitHub and others refuse with 403 and say when to come back. */
function isRateLimited403(headers: Headers): boolean {
  return (
    headers.has('retry-after') ||
    headers.has('retry-after-ms') ||
    headers.get('x-ratelimit-remaining')?.trim() === '0' ||
    headers.get('ratelimit-remaining')?.trim() === '0'
  )
}
