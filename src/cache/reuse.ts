import { parseHttpDate } from '../signals/http-date.js'
import { type CacheControl, millisecondsOf, parseCacheControl } from './cache-control.js'
import type { CacheEntry } from './cache-store.js'
import { ageOf } from './freshness.js'

/** How a request wants the cache to be used. */
export interface CacheWish {
  /** The fetch standard's cache mode, after the request's own headers have had their say. */
  readonly mode: RequestCache
  readonly control: CacheControl
}

/** What to do with a stored response. */
export type Reuse =
  | { readonly kind: 'serve' }
  /** Serve it, and revalidate it in the background. */
  | { readonly kind: 'serve-stale' }
  | { readonly kind: 'revalidate' }

/** The fields that make a request conditional by the caller's own wish (Fetch standard, "HTTP-network-or-cache fetch", step 8.13). */
const CONDITIONAL = ['if-none-match', 'if-modified-since', 'if-match', 'if-unmodified-since', 'if-range']

/** Reads what a request says of caching: the mode, `Cache-Control`, `Pragma`, and conditions of its own. */
export function wishOf(cache: RequestCache, headers: Headers): CacheWish {
  const control = parseCacheControl(headers.get('cache-control'))
  // In any mode: a 304 to the caller's condition would say nothing about what is stored here.
  if (CONDITIONAL.some(name => headers.has(name))) return { mode: 'no-store', control }
  if (headers.has('range')) return { mode: 'no-store', control }
  if ('no-store' in control) return { mode: 'no-store', control }
  if (cache !== 'default') return { mode: cache, control }
  if ('no-cache' in control) return { mode: 'no-cache', control }
  // RFC 9111 section 5.4: only where there is no Cache-Control.
  if (!headers.has('cache-control') && /no-cache/i.test(headers.get('pragma') ?? ''))
    return { mode: 'no-cache', control }
  return { mode: 'default', control }
}

/** Whether a stored response may serve a request (RFC 9111 section 4). */
export function decideReuse(entry: CacheEntry, { mode, control }: CacheWish, now: number): Reuse {
  if (mode === 'force-cache' || mode === 'only-if-cached') return { kind: 'serve' }
  if (mode === 'no-cache' || entry.revalidate === 'always') return { kind: 'revalidate' }
  const age = ageOf(entry, now)
  const asked = millisecondsOf(control, 'max-age')
  const left = Math.min(entry.lifetime, asked ?? Number.POSITIVE_INFINITY) - age
  if (left > 0 && left >= (millisecondsOf(control, 'min-fresh') ?? 0)) return { kind: 'serve' }
  if (entry.revalidate !== 'may-be-stale') return { kind: 'revalidate' }
  const staleFor = age - entry.lifetime
  const tolerated =
    control['max-stale'] === true ? Number.POSITIVE_INFINITY : (millisecondsOf(control, 'max-stale') ?? -1)
  if (asked === undefined && !('min-fresh' in control)) {
    if (staleFor <= tolerated) return { kind: 'serve' }
    if (staleFor < entry.staleWhileRevalidate) return { kind: 'serve-stale' }
  }
  return { kind: 'revalidate' }
}

/** Whether a stale response may stand in for a failed revalidation: when it failed (RFC 5861 section 4), or could not be sent. */
export function mayServeStale(entry: CacheEntry, now: number, why: 'failed' | 'exhausted'): boolean {
  if (entry.revalidate !== 'may-be-stale') return false
  // A pool without a usable key is disconnected, as RFC 9111 section 4.2.4 has it.
  return why === 'exhausted' || ageOf(entry, now) < entry.lifetime + entry.staleIfError
}

/** Fields that belong to one connection (RFC 9110 section 7.6.1), which no cache keeps. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
/** Fields of a 304 that say nothing of the stored body (RFC 9111 section 3.2). */
const NOT_UPDATED = new Set(['content-length', 'content-encoding', 'content-range', 'content-type'])

/** The fields of a response that are stored. */
export function storableHeaders(headers: Headers): [string, string][] {
  return [...headers].filter(([name]) => !HOP_BY_HOP.has(name))
}

/** Stored fields after a 304 (RFC 9111 section 3.2). */
export function updatedHeaders(stored: CacheEntry['headers'], update: Headers): [string, string][] {
  const changed = storableHeaders(update).filter(([name]) => !NOT_UPDATED.has(name))
  const names = new Set(changed.map(([name]) => name))
  return [
    ...stored.filter(([name]) => !names.has(name)).map(([name, value]): [string, string] => [name, value]),
    ...changed,
  ]
}

/** The condition that a stored response is revalidated with (RFC 9111 section 4.3.1). */
export function conditionsFor(entry: CacheEntry): [string, string][] {
  const conditions: [string, string][] = []
  for (const [name, value] of entry.headers) {
    if (name === 'etag') conditions.push(['if-none-match', value])
    if (name === 'last-modified' && parseHttpDate(value, entry.receivedAt) !== undefined) {
      conditions.push(['if-modified-since', value])
    }
  }
  return conditions
}
