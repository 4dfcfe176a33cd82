import type { Call } from '../http/call.js'
import type { CacheKeys } from './cache-key.js'
import type { ResponseCache } from './response-cache.js'
import type { SingleFlight } from './single-flight.js'

const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/**
 * What a request with an unsafe method has made out of date (RFC 9111 section 4.4): only where it succeeded, and only at
 * its own URL and those that the answer names of the same origin.
 */
export function invalidations(keys: CacheKeys, cache: ResponseCache, flights: SingleFlight) {
  return (call: Call, response: Response): void => {
    if (SAFE.has(call.method) || response.status < 200 || response.status >= 400) return
    const urls = [call.url]
    for (const name of ['location', 'content-location']) {
      const value = response.headers.get(name)
      if (value === null || !URL.canParse(value, call.url)) continue
      const url = new URL(value, call.url)
      if (url.origin === call.origin) urls.push(url.href)
    }
    for (const url of urls) {
      for (const method of ['GET', 'HEAD'] as const) {
        flights.forget(keys.keyOfUrl(url, method))
        cache.remove(keys.keyOfUrl(url, method))
      }
    }
  }
}
