import { factsOf, withFacts } from './response-facts.js'

/** The headers in which services tell of one key's limits, whatever they are called. */
const RATE_LIMIT_HEADER = /rate-?limit/i

/** The same response without them. A client that throttles itself by them would take one key's limits for the pool's. */
export function withoutRateLimitHeaders(response: Response): Response {
  const headers = new Headers(response.headers)
  for (const name of [...headers.keys()]) if (RATE_LIMIT_HEADER.test(name)) headers.delete(name)
  return withFacts(response, factsOf(response), headers)
}
