import type { Call } from '../http/call.js'
import type { CacheKeys } from './cache-key.js'
import type { ResponseCache } from './response-cache.js'
import type { Flight, SingleFlight } from './single-flight.js'

/** Methods that change nothing (RFC 9110 section 9.2.1). */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

export function isSafe({ method }: Call): boolean {
  return SAFE.has(method)
}

/**
 * What a request with an unsafe method has made out of date (RFC 9111 section 4.4): only where it succeeded, and only at
 * its own URL, where redirects have led it, and what the answer names of the same origin.
 */
export function invalidations(keys: CacheKeys, cache: ResponseCache, flights: SingleFlight) {
  return (call: Call, response: Response, own: Flight): void => {
    if (isSafe(call) || response.status < 200 || response.status >= 400) return
    const urls = [call.url]
    for (const value of [response.headers.get('location'), response.headers.get('content-location'), response.url]) {
      if (!value || !URL.canParse(value, call.url)) continue
      const url = new URL(value, call.url)
      if (url.origin === call.origin && url.href !== call.url) urls.push(url.href)
    }
    for (const url of urls) {
      for (const method of ['GET', 'HEAD'] as const) {
        flights.forget(keys.keyOfUrl(url, method), own)
        cache.remove(keys.keyOfUrl(url, method))
      }
    }
  }
}
