import { parseHttpDate } from '../signals/http-date.js'
import { type CacheControl, millisecondsOf, parseCacheControl } from './cache-control.js'
import type { CacheEntry } from './cache-store.js'
import { ageOf } from './freshness.js'

/** How a request wants the cache to be used. */
export interface CacheWish {
  /** The fetch standard's cache mode, after the request's own headers have had their say. */
  readonly mode: RequestCache
  readonly control: CacheControl
  /** Whether the mode is the caller's own header's, and not that of the call. */
  readonly byHeader: boolean
  /** The part of the representation that is asked for. */
  readonly range: string | undefined
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
  const wish = (mode: RequestCache, byHeader = true): CacheWish => {
    return { mode, control, byHeader, range: headers.get('range') ?? undefined }
  }
  // What is stored is served whatever the server would say of a condition.
  if (cache === 'force-cache' || cache === 'only-if-cached') return wish(cache, false)
  // In any other mode: a 304 to the caller's condition would say nothing about what is stored here.
  if (CONDITIONAL.some(name => headers.has(name)) || 'no-store' in control) return wish('no-store')
  if (cache !== 'default') return wish(cache, false)
  if ('no-cache' in control) return wish('no-cache')
  // RFC 9111 section 5.4: only where there is no Cache-Control.
  if (!headers.has('cache-control') && /no-cache/i.test(headers.get('pragma') ?? '')) return wish('no-cache')
  return wish('default', false)
}

/** Whether a stored response may serve a request (RFC 9111 section 4). */
export function decideReuse(entry: CacheEntry, { mode, control, byHeader }: CacheWish, now: number): Reuse {
  if (mode === 'force-cache' || mode === 'only-if-cached') return { kind: 'serve' }
  const age = ageOf(entry, now)
  if (mode === 'no-cache' || entry.revalidate === 'always') {
    // RFC 8246 section 2: a reload need not ask for what does not change while it is fresh; a caller's own header must.
    const isImmutable = !byHeader && age < entry.lifetime && 'immutable' in controlOf(entry)
    return { kind: isImmutable ? 'serve' : 'revalidate' }
  }
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

function controlOf({ headers }: CacheEntry): CacheControl {
  return parseCacheControl(headers.find(([name]) => name === 'cache-control')?.[1] ?? null)
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
/**
 * Fields of a 304, or of an answer to HEAD, that leave stored ones as they are (RFC 9111 section 3.2): those that belong
 * to the bytes that are stored, which were decoded on their way in. A validator that differs would be another
 * representation's (section 4.3.4).
 */
const NOT_UPDATED = new Set(['content-length', 'content-encoding', 'content-range', 'content-md5', 'etag'])

/** The fields of a response that are stored: not those of one connection, nor what `Connection` names as such (RFC 9110 section 7.6.1). */
export function storableHeaders(headers: Headers): [string, string][] {
  const named = new Set((headers.get('connection') ?? '').split(',').map(name => name.trim().toLowerCase()))
  return [...headers].filter(([name]) => !HOP_BY_HOP.has(name) && !named.has(name))
}

/** Stored fields after a 304, or an answer to HEAD (RFC 9111 sections 3.2 and 4.3.5). */
export function updatedHeaders(stored: CacheEntry['headers'], update: Headers): [string, string][] {
  const has = new Set(stored.map(([name]) => name))
  const changed = storableHeaders(update).filter(
    ([name]) => !NOT_UPDATED.has(name) || (name === 'etag' && !has.has(name)),
  )
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
