import { parseHttpDate } from '../signals/http-date.js'
import { type CacheControl, millisecondsOf, parseCacheControl } from './cache-control.js'
import type { CacheEntry } from './cache-store.js'
import { freshFor } from './policy.js'

/** What is to be known of a response to judge it; the body comes later. */
export interface Received {
  readonly method: string
  readonly requestHeaders: Headers
  readonly status: number
  readonly headers: Headers
  readonly requestedAt: number
  readonly receivedAt: number
}

/** What the user adds to what responses say themselves, in milliseconds. */
export interface FreshnessDefaults {
  readonly ttl: number | undefined
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
}

export type Freshness = Pick<
  CacheEntry,
  'receivedAt' | 'initialAge' | 'lifetime' | 'revalidate' | 'staleWhileRevalidate' | 'staleIfError'
>

/** How fresh a response is, by RFC 9111 section 4.2 as a private cache reads it; `undefined` if it may not be stored. */
export function freshnessOf(received: Received, defaults: FreshnessDefaults): Freshness | undefined {
  const { status, headers, receivedAt } = received
  const control = parseCacheControl(headers.get('cache-control'))
  // Partial content is not put together here, and a redirect is followed anew by each request.
  if (status === 206 || (status >= 300 && status < 400)) return undefined
  const fresh = freshFor({ ...received, control })
  if (fresh === undefined) return undefined
  const age = ageFieldOf(headers)
  const always = 'no-cache' in control || (headers.get('pragma') === 'no-cache' && !headers.has('cache-control'))
  const own = always || age === 'invalid' ? 0 : fresh
  return {
    receivedAt,
    initialAge: initialAgeOf(received, age === 'invalid' ? undefined : age),
    lifetime: own === 0 && age !== 'invalid' && mayTakeTtl(received, control) ? (defaults.ttl ?? 0) : own,
    revalidate: always ? 'always' : 'must-revalidate' in control ? 'when-stale' : 'may-be-stale',
    staleWhileRevalidate: millisecondsOf(control, 'stale-while-revalidate') ?? defaults.staleWhileRevalidate,
    staleIfError: millisecondsOf(control, 'stale-if-error') ?? defaults.staleIfError,
  }
}

/** The user's `ttl` is for successful responses that say nothing of their own freshness. */
function mayTakeTtl({ status, headers }: Received, control: CacheControl): boolean {
  return (
    status >= 200 &&
    status < 300 &&
    !headers.has('expires') &&
    !headers.has('pragma') &&
    !['max-age', 's-maxage', 'no-cache', 'no-store', 'must-revalidate'].some(directive => directive in control)
  )
}

/**
 * The `Age` field, in milliseconds (RFC 9111 section 5.1). One that is no single whole number leaves open how old the
 * response is, and what is invalid of freshness is best taken for stale (section 4.2.1).
 */
function ageFieldOf(headers: Headers): number | 'invalid' | undefined {
  const field = headers.get('age')
  if (field === null) return undefined
  return /^\s*\d+\s*$/.test(field) ? Math.min(Number(field), 2 ** 31) * 1000 : 'invalid'
}

/** RFC 9111 section 4.2.3, up to the moment of receipt. */
function initialAgeOf({ headers, requestedAt, receivedAt }: Received, age: number | undefined): number {
  const date = parseHttpDate(headers.get('date') ?? '', receivedAt)
  // By the system's clock: ours never goes back, and would be ahead of every server's once the system's has been set back.
  const apparent = date === undefined ? 0 : Math.max(0, Date.now() - date)
  // Dates have whole seconds: an apparent age of less than one says nothing.
  return Math.max(apparent < 1000 ? 0 : apparent, age === undefined ? 0 : age + (receivedAt - requestedAt))
}

/** How old a stored response is now. */
export function ageOf(entry: CacheEntry, now: number): number {
  return entry.initialAge + Math.max(0, now - entry.receivedAt)
}

/** For how long a stored response can be of any use: fresh, or stale with leave, or as long as a validator may confirm it. */
export function usefulFor(entry: CacheEntry, now: number): number {
  const stale = Math.max(entry.staleWhileRevalidate, entry.staleIfError)
  const left = entry.lifetime + stale - ageOf(entry, now)
  // What was fresh once may stand in when every key is exhausted.
  const mayStandIn = entry.lifetime > 0 && entry.revalidate === 'may-be-stale'
  return hasValidator(entry) || mayStandIn ? Math.max(left, 0) + KEPT : left
}

/** A week: how long a response is kept beyond its time that can be confirmed, or may stand in for a new one. */
const KEPT = 7 * 86_400_000

export function hasValidator({ headers }: Pick<CacheEntry, 'headers'>): boolean {
  return headers.some(([name]) => name === 'etag' || name === 'last-modified')
}
