import CachePolicy from 'http-cache-semantics'
import { parseHttpDate } from '../signals/http-date.js'
import { type CacheControl, millisecondsOf } from './cache-control.js'

/** A response, as far as it matters to whether and for how long it may be stored. */
export interface Judged {
  readonly method: string
  readonly requestHeaders: Headers
  readonly status: number
  readonly headers: Headers
  /** The response's `Cache-Control`, read. */
  readonly control: CacheControl
  readonly receivedAt: number
}

/** Statuses that a cache which implements `must-understand` understands (RFC 9110 section 15, RFC 9111 section 5.2.2.3). */
const UNDERSTOOD: ReadonlySet<number> = new Set([
  200, 203, 204, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410, 414, 500, 501, 502, 503, 504,
])

/** About one request at one time: no cache may store them (RFC 6585 sections 3 to 6). */
const NEVER: ReadonlySet<number> = new Set([428, 429, 431, 511])

/**
 * Whether a private cache may store a response, and for how many milliseconds it is fresh; `undefined`: it may not.
 *
 * The library that decides is shown what the fields mean, as it reads some of them otherwise than RFC 9111 does:
 *
 * - names of directives in capitals, an argument in quotes, one directive twice (section 5.2; 4.2.1: the first counts)
 * - `Expires` and `Date` by the grammar of HTTP-date alone (section 5.3: what does not fit is in the past), where it takes
 *   whatever `Date.parse` does
 * - statuses that it does not know, with explicit freshness or `public`: any final one may be stored (section 3)
 * - `must-understand`: it takes the place of `no-store` where the status is understood (section 5.2.2.3)
 * - `immutable` makes nothing fresh by itself (RFC 8246 section 2), where it takes that for a day
 * - `max-age` that is no number makes stale (section 4.2.1), and hides `Expires`
 */
export function freshFor(judged: Judged): number | undefined {
  const { method, requestHeaders, status, headers, control, receivedAt } = judged
  if (NEVER.has(status)) return undefined
  const mustUnderstand = 'must-understand' in control
  if (mustUnderstand && !UNDERSTOOD.has(status)) return undefined
  const isExplicit = 'max-age' in control || 'public' in control || headers.has('expires')
  const date = parseHttpDate(headers.get('date') ?? '', receivedAt) ?? receivedAt
  const modified = parseHttpDate(headers.get('last-modified') ?? '', receivedAt)
  const fields: Record<string, string> = {
    date: new Date(date).toUTCString(),
    'cache-control': shown(control, mustUnderstand),
  }
  if (headers.has('expires')) fields.expires = dateOrPast(headers.get('expires')!, receivedAt)
  if (modified !== undefined) fields['last-modified'] = new Date(modified).toUTCString()
  const policy = new CachePolicy(
    // POST is stored by the user's word alone, which the library can't know.
    {
      method: method === 'HEAD' ? 'HEAD' : 'GET',
      url: '',
      headers: { 'cache-control': requestHeaders.get('cache-control')?.toLowerCase() ?? '' },
    },
    { status: isExplicit && status >= 200 ? 200 : status, headers: fields },
    { shared: false, immutableMinTimeToLive: 0 },
  )
  if (!policy.storable()) return undefined
  // Its clock is the system's, and the rest is arithmetic on whole seconds.
  return Math.min(policy.maxAge(), 2 ** 31) * 1000
}

/**
 * The directives that the library is to see. Of their arguments only those of `max-age` matter: `private` and `no-cache`
 * with names of fields mean these alone, and a cache may take them without (sections 5.2.2.4 and 5.2.2.7).
 */
function shown(control: CacheControl, mustUnderstand: boolean): string {
  return Object.keys(control)
    .filter(name => !(name === 'no-store' && mustUnderstand))
    .map(name => (name === 'max-age' ? `max-age=${(millisecondsOf(control, name) ?? 0) / 1000}` : name))
    .join(', ')
}

function dateOrPast(value: string, now: number): string {
  const at = parseHttpDate(value, now)
  return at === undefined ? '0' : new Date(at).toUTCString()
}
