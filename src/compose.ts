import { cacheKeys } from './cache/cache-key.js'
import { memoryStore } from './cache/memory-store.js'
import { type CacheForecast, cacheForecasts, cachePlans } from './cache/plan.js'
import { ResponseCache } from './cache/response-cache.js'
import { SingleFlight } from './cache/single-flight.js'
import { ONE_TENANT, type Tenants } from './cache/tenants.js'
import type { Clock } from './clock.js'
import { countingWait, type Exchange, newExchange } from './exchange.js'
import type { Call } from './http/call.js'
import { bodyWatcher } from './http/lazy-response.js'
import { type CacheLayerOptions, cacheLayer } from './layers/cache.js'
import { followRedirects } from './layers/redirect.js'
import { retry } from './layers/retry.js'
import { schedule } from './layers/schedule.js'
import { transport } from './layers/transport.js'
import type { Engine } from './pool/create-pool.js'
import type { Demand } from './pool/demand.js'
import { demands } from './pool/demands.js'
import type { PooledKey } from './pool/pooled-key.js'
import type { Routes } from './pool/routes.js'
import type { Settings } from './settings.js'

/** Puts the layers together, outermost first: cache, retry, schedule, redirect, transport. */
export function composeLayers(
  fetch: typeof globalThis.fetch,
  settings: Settings,
  engine: Engine,
  clock: Clock,
  urls: Routes,
  background: CacheLayerOptions['background'],
) {
  const { auth, provider, maxWait, patience, onExhausted } = settings
  const now = () => clock.now()
  const { authoriser, strip } = engine
  const urlOf = (call: Pick<Call, 'url'>) => engine.publicUrlOf(call.url)
  const { demandFor } = demands({ engine, settings, now, urlOf })

  const cleanUrl = (url: string, lease: Pick<PooledKey, 'secret'>) => urls.withoutKey(strip(url), lease)
  const headers = Object.entries(provider?.headers ?? {})
  const watchBody = bodyWatcher(clock)
  const sender = transport({
    fetch,
    clock,
    auth,
    authoriser,
    cleanUrl,
    headers,
    timeout: settings.timeout.attempt,
    bodyTimeout: settings.timeout.body,
    watchBody,
    hideKeys: settings.hideKeys,
    isKnownService: settings.isKnownService,
    credentialParameters: provider?.credentialParameters ?? [],
  })
  const attempt = followRedirects({
    urlFor: urls.urlFor,
    mayTravel: urls.mayTravel,
    withoutKey: cleanUrl,
    safeWithNativeRedirects: authoriser?.safeWithNativeRedirects ?? false,
    passed: lease => engine.health.succeeded(lease, []),
    async renew(exchange, lease) {
      const { key } = lease
      lease.end()
      const demand = demandFor(exchange, patience - exchange.waited)
      return countingWait(exchange, clock, () =>
        engine.scheduler.acquire({ ...demand, group: `only ${key.id}`, accepts: each => each === key }),
      )
    },
  })(sender)
  const scheduled = schedule({ engine, clock, onExhausted, watchBody, provider, patience, urlOf, demandOf: demandFor })(
    attempt,
  )
  const retried = retry({ engine, clock, retry: settings.retry, maxWait, urlOf })(scheduled)
  const explainUncached = (exchange: Exchange, cache: CacheForecast) =>
    engine.preview(demandFor(exchange, patience), cache)
  if (!settings.cache) {
    return { send: retried, urlOf, explainPooled: async (exchange: Exchange) => explainUncached(exchange, 'off') }
  }

  const authHeader =
    auth === 'bearer'
      ? 'authorization'
      : typeof auth === 'object' && 'header' in auth
        ? auth.header.toLowerCase()
        : undefined
  // Whatever a caller has put into the URL: nothing of a key is in the name of what is stored.
  const named = (url: string) => (engine.registry.isValueIn(url) ? urlOf({ url }) : strip(url))
  const keys = cacheKeys(named, authHeader)
  const { store, maxBytes, maxEntries, maxBodyBytes, ...defaults } = settings.cache
  const createMemory = () => memoryStore({ maxBytes, maxEntries, now })
  const tenants = settings.cache.tenants === 'pool' ? ONE_TENANT : groupTenants(engine, demandFor, now)
  const cache = new ResponseCache({
    store: store ?? engine.membership?.cacheStore(createMemory) ?? createMemory(),
    ...{ keys, tenants, defaults, maxBodyBytes, clock, watchBody },
    scrub: (text, keyId) => engine.registry.scrub(text, keyId),
    scrubBytes: (bytes, keyId) => engine.registry.scrubBytes(bytes, keyId),
    storeFailed: () => {
      engine.counters.cache.storeErrors++
    },
  })
  const flights = new SingleFlight(clock)
  const plan = cachePlans({ settings: settings.cache, keys, tenants, urlOf })
  const forecast = cacheForecasts(plan, { cache, flights, now: () => clock.wallNow() })
  const layer = cacheLayer({
    ...{ engine, clock, settings: settings.cache, cache, keys, tenants, plan, flights, background, urlOf },
  })
  const explainPooled = async (exchange: Exchange) => explainUncached(exchange, await forecast(exchange.call))
  return { send: layer(retried), urlOf, explainPooled }
}

/** The keys of each group are a tenant of their own: a call is that one's whose key it would go out with. */
function groupTenants(
  { preview, registry }: Engine,
  demandFor: (exchange: Exchange, patience: number) => Demand,
  now: () => number,
): Tenants {
  const ofKey = (keyId: string | null) => (keyId === null ? '' : registry.tenantOf(keyId))
  return {
    of: call => ofKey(preview(demandFor(newExchange(call, undefined, now()), 0), 'off').keyId),
    ofKey,
  }
}
