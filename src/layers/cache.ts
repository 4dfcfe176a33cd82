import type { CacheKeys } from '../cache/cache-key.js'
import type { CacheEntry } from '../cache/cache-store.js'
import { ageOf, hasValidator } from '../cache/freshness.js'
import type { CachePlan } from '../cache/plan.js'
import type { ResponseCache } from '../cache/response-cache.js'
import { type CacheWish, conditionsFor, decideReuse, mayServeStale } from '../cache/reuse.js'
import type { SingleFlight } from '../cache/single-flight.js'
import { abortable, type Clock } from '../clock.js'
import { KeypoolError } from '../errors.js'
import type { CacheHitEvent, CacheMissedEvent } from '../events.js'
import type { Exchange } from '../exchange.js'
import type { Call } from '../http/call.js'
import { discard } from '../http/response.js'
import type { Engine } from '../pool/create-pool.js'
import type { CacheSettings } from '../settings.js'

export interface CacheLayerOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly settings: CacheSettings
  readonly cache: ResponseCache
  readonly keys: CacheKeys
  /** What the cache is to do about a call. */
  plan(call: Call): Promise<CachePlan>
  readonly flights: SingleFlight
  /** Sends a request once more, without a caller who waits for it. */
  background(exchange: Exchange, send: (unattended: Exchange) => Promise<unknown>): void
  urlOf(call: Call): string
}

type Next = (exchange: Exchange) => Promise<Response>

const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/** Answers from the cache where RFC 9111 lets a private cache do so, and lets equal requests share one answer. */
export function cacheLayer(options: CacheLayerOptions): (next: Next) => Next {
  const { engine, clock, settings, cache, keys, plan, flights, background, urlOf } = options
  const { counters, emit } = engine

  return next => {
    /** Sends, and keeps what comes; others may join meanwhile. */
    async function load(exchange: Exchange, key: string, flightName: string): Promise<Response> {
      const flight = flights.start(flightName, key)
      const requestedAt = clock.now()
      try {
        const response = await next(exchange)
        return await cache.keep(response, { call: exchange.call, key, keyId: exchange.keyId, requestedAt }, flight)
      } catch (error) {
        flight.land({ kind: 'failed' })
        throw error
      }
    }

    /** Asks the server whether a stored response is still good. */
    async function revalidate(
      exchange: Exchange,
      key: string,
      flightName: string,
      entry: CacheEntry,
    ): Promise<Response> {
      if (!hasValidator(entry)) return revalidateWithout(exchange, key, flightName, entry)
      const headers = new Headers(exchange.call.headers)
      for (const [name, value] of conditionsFor(entry)) if (!headers.has(name)) headers.set(name, value)
      const { call } = exchange
      exchange.call = { ...call, headers }
      exchange.preferredKeyId = entry.keyId ?? undefined
      const flight = flights.start(flightName, key)
      const requestedAt = clock.now()
      try {
        const response = await next(exchange)
        const from = { call, key, keyId: exchange.keyId, requestedAt }
        if (response.status === 304) {
          void discard(response)
          const confirmed = cache.confirm(entry, response, from, flight)
          flight.land({ kind: 'shared', entry: confirmed })
          counters.cache.revalidated++
          return serve(exchange, confirmed, 'revalidated')
        }
        if (mustFallBack(exchange, entry, response)) {
          void discard(response)
          flight.land({ kind: 'failed' })
          return serve(exchange, entry, 'stale')
        }
        missed(exchange.call, 'changed')
        return await cache.keep(response, from, flight)
      } catch (error) {
        flight.land({ kind: 'failed' })
        return fallBack(exchange, entry, error)
      }
    }

    /** A stale response that nothing can confirm: a new one takes its place, or it stands in for one that failed. */
    async function revalidateWithout(
      exchange: Exchange,
      key: string,
      flightName: string,
      entry: CacheEntry,
    ): Promise<Response> {
      try {
        const response = await load(exchange, key, flightName)
        if (mustFallBack(exchange, entry, response)) {
          void discard(response)
          return serve(exchange, entry, 'stale')
        }
        missed(exchange.call, 'stale')
        return response
      } catch (error) {
        return fallBack(exchange, entry, error)
      }
    }

    function fallBack(exchange: Exchange, entry: CacheEntry, error: unknown): Response {
      if (exchange.signal?.aborted) throw error
      const why = KeypoolError.is(error, 'ERR_POOL_EXHAUSTED') ? 'exhausted' : 'failed'
      if (!mayServeStale(entry, clock.now(), why)) throw error
      return serve(exchange, entry, 'stale')
    }

    function mustFallBack(exchange: Exchange, entry: CacheEntry, { status }: Response): boolean {
      if (exchange.exhausted) return mayServeStale(entry, clock.now(), 'exhausted')
      return status >= 500 && mayServeStale(entry, clock.now(), 'failed')
    }

    function serve(exchange: Exchange, entry: CacheEntry, how: CacheHitEvent['how']): Response {
      const { method } = exchange.call
      if (!exchange.attended) return cache.toResponse(entry, method)
      const age = Math.floor(ageOf(entry, clock.now()) / 1000)
      exchange.fromCache = true
      counters.cacheHit()
      if (how === 'stale') counters.cache.stale++
      if (how === 'joined') counters.cache.joined++
      emit('cache-hit', () => ({ method, url: urlOf(exchange.call), age, how }))
      return cache.toResponse(entry, method)
    }

    /** Takes in what nobody waits for, so that it can be stored. */
    async function discardWhole(response: Promise<Response>): Promise<void> {
      await discard(await response, settings.maxBodyBytes)
    }

    function missed(call: Call, why: CacheMissedEvent['why']): void {
      counters.cache.misses++
      emit('cache-missed', () => ({ method: call.method, url: urlOf(call), why }))
    }

    /** RFC 9111 section 5.2.1.7. */
    function gatewayTimeout(call: Call, why: CacheMissedEvent['why']): Response {
      missed(call, why)
      return new Response(null, { status: 504, statusText: 'Gateway Timeout' })
    }

    /** An answer of the store, of another call that is on its way, or of the server. */
    async function answer(exchange: Exchange, wish: CacheWish, key: string, flightName: string): Promise<Response> {
      const { call } = exchange
      const entry = await abortable(clock, cache.find(key, call), exchange.signal)
      if (!entry) {
        if (wish.mode === 'only-if-cached')
          throw new TypeError('fetch failed', { cause: new Error("cache mode 'only-if-cached' and nothing stored") })
        if ('only-if-cached' in wish.control) return gatewayTimeout(call, 'absent')
      } else {
        const reuse = decideReuse(entry, wish, clock.now())
        if (reuse.kind === 'serve') {
          return serve(exchange, entry, ageOf(entry, clock.now()) < entry.lifetime ? 'fresh' : 'stale')
        }
        if ('only-if-cached' in wish.control) return gatewayTimeout(call, 'stale')
        if (reuse.kind === 'serve-stale') {
          if (!flights.isUnderWay(flightName)) {
            background(exchange, unattended => discardWhole(revalidate(unattended, key, flightName, entry)))
          }
          return serve(exchange, entry, 'stale')
        }
      }
      while (wish.mode === 'default' && flights.isUnderWay(flightName)) {
        const landing = await flights.join(flightName, exchange.signal)
        if (landing?.kind === 'shared') return serve(exchange, landing.entry, 'joined')
        // After a failure, the first to come here sends, and the others join that.
        if (landing?.kind === 'unshared') break
      }
      // From here to the announcement of the flight nothing may be awaited: equal calls would pass each other by.
      if (entry) return revalidate(exchange, key, flightName, entry)
      missed(call, 'absent')
      return load(exchange, key, flightName)
    }

    function invalidate(call: Call, response: Response): void {
      // RFC 9111 section 4.4: only what succeeded, and only URLs of the same origin.
      if (response.status < 200 || response.status >= 400) return
      const urls = [call.url]
      for (const name of ['location', 'content-location']) {
        const value = response.headers.get(name)
        if (value !== null && URL.canParse(value, call.url)) {
          const url = new URL(value, call.url)
          if (url.origin === call.origin) urls.push(url.href)
        }
      }
      for (const url of urls) {
        for (const method of ['GET', 'HEAD'] as const) {
          flights.forget(keys.keyOfUrl(url, method))
          cache.remove(keys.keyOfUrl(url, method))
        }
      }
    }

    return async function cached(exchange) {
      const { call } = exchange
      const planned = await plan(call)
      if (planned.kind !== 'cached') {
        if (planned.kind === 'bypassed') missed(call, 'bypassed')
        const response = await next(exchange)
        if (!SAFE.has(call.method) && !settings.methods.has(call.method)) invalidate(call, response)
        return response
      }
      const { wish, key, flightName } = planned
      if (wish.mode !== 'reload') return answer(exchange, wish, key, flightName)
      missed(call, 'bypassed')
      return load(exchange, key, flightName)
    }
  }
}
