import type { Call } from '../http/call.js'
import type { CacheSettings } from '../settings.js'
import type { CacheKeys } from './cache-key.js'
import { ageOf } from './freshness.js'
import type { ResponseCache } from './response-cache.js'
import { type CacheWish, decideReuse, wishOf } from './reuse.js'
import type { SingleFlight } from './single-flight.js'
import type { Tenants } from './tenants.js'

/** What the cache is to do about a call. */
export type CachePlan =
  /** It is none of its business. */
  | { readonly kind: 'uncached' }
  /** The call does not want it. */
  | { readonly kind: 'bypassed' }
  | CachedPlan

/** To be looked for in the cache. */
export interface CachedPlan {
  readonly kind: 'cached'
  readonly wish: CacheWish
  readonly key: string
  /** Whose answer may serve it. */
  readonly tenant: string
  /** What equal calls have in common. */
  readonly flightName: string
}

export interface CachePlansOptions {
  readonly settings: CacheSettings
  readonly keys: CacheKeys
  readonly tenants: Tenants
  urlOf(call: Call): string
}

/** Decides what the cache is to do about calls. */
export function cachePlans({ settings, keys, tenants, urlOf }: CachePlansOptions): (call: Call) => Promise<CachePlan> {
  return async call => {
    const isCached =
      // Digests are for the answer of the server itself.
      !call.rest.integrity &&
      settings.methods.has(call.method) &&
      settings.only?.({ method: call.method, url: urlOf(call) }) !== false
    if (!isCached) return { kind: 'uncached' }
    const wish = wishOf(call.cache, call.headers)
    const key = wish.mode === 'no-store' ? undefined : await keys.keyOf(call)
    if (key === undefined) return { kind: 'bypassed' }
    const tenant = tenants.of(call)
    return { kind: 'cached', wish, key, tenant, flightName: keys.flightOf(key, call, tenant) }
  }
}

/** What the cache would do about a call now. */
export type CacheForecast = 'off' | 'bypassed' | 'absent' | 'fresh' | 'stale' | 'revalidate' | 'joined'

/** Says what would come of a call, without sending anything. */
export function cacheForecasts(
  plan: (call: Call) => Promise<CachePlan>,
  { cache, flights, now }: { readonly cache: ResponseCache; readonly flights: SingleFlight; now(): number },
): (call: Call) => Promise<CacheForecast> {
  return async call => {
    const planned = await plan(call)
    if (planned.kind === 'uncached') return 'off'
    if (planned.kind === 'bypassed' || planned.wish.mode === 'reload') return 'bypassed'
    const { wish, key, tenant, flightName } = planned
    const entry = await cache.find(key, call, tenant)
    const reuse = entry && decideReuse(entry, wish, now())
    if (wish.range !== undefined && !(reuse?.kind === 'serve' && cache.partOf(entry!, wish.range))) return 'bypassed'
    if (reuse?.kind === 'serve') return ageOf(entry!, now()) < entry!.lifetime ? 'fresh' : 'stale'
    if (reuse?.kind === 'serve-stale') return 'stale'
    if (wish.mode === 'default' && flights.isUnderWay(flightName)) return 'joined'
    return entry ? 'revalidate' : 'absent'
  }
}
