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
  const own = always ? 0 : fresh
  return {
    receivedAt,
    initialAge: initialAgeOf(received, age),
    lifetime: own === 0 && mayTakeTtl(received, control) ? (defaults.ttl ?? 0) : own,
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
 * The `Age` field, in milliseconds: of a list the first member counts, and what is no whole number is ignored (RFC 9111
 * section 5.1).
 */
function ageFieldOf(headers: Headers): number | undefined {
  const [first = ''] = (headers.get('age') ?? '').split(',', 1)
  return /^\s*\d+\s*$/.test(first) ? Math.min(Number(first), 2 ** 31) * 1000 : undefined
}

/** RFC 9111 section 4.2.3, up to the moment of receipt. */
function initialAgeOf({ headers, requestedAt, receivedAt }: Received, age: number | undefined): number {
  const date = parseHttpDate(headers.get('date') ?? '', receivedAt)
  const apparent = date === undefined ? 0 : Math.max(0, receivedAt - date)
  // Dates have whole seconds: an apparent age of less than one says nothing.
  return Math.max(apparent < 1000 ? 0 : apparent, age === undefined ? 0 : age + Math.max(0, receivedAt - requestedAt))
}

/** How far the clocks of those that share a store may differ, in milliseconds. */
const CLOCK_SKEW_MS = 2_000

/**
 * How old a stored response is now, by the system's clock, which a store may share with other machines and outlive.
 *
 * What seems to come from the future was stored while that clock was wrong: nobody knows how old it is, and it counts as
 * stale.
 */
export function ageOf(entry: CacheEntry, now: number): number {
  const stored = now - entry.receivedAt
  return entry.initialAge + (stored < -CLOCK_SKEW_MS ? entry.lifetime : Math.max(0, stored))
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
