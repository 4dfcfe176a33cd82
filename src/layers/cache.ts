import type { CacheKeys } from '../cache/cache-key.js'
import type { CacheEntry } from '../cache/cache-store.js'
import { ageOf, hasValidator } from '../cache/freshness.js'
import { invalidations, isSafe } from '../cache/invalidate.js'
import type { CachedPlan, CachePlan } from '../cache/plan.js'
import type { Provenance, ResponseCache } from '../cache/response-cache.js'
import { conditionsFor, decideReuse, mayServeStale } from '../cache/reuse.js'
import type { Landing, SingleFlight } from '../cache/single-flight.js'
import type { Tenants } from '../cache/tenants.js'
import { abortable, type Clock } from '../clock.js'
import { KeypoolError } from '../errors.js'
import type { CacheHitEvent, CacheMissedEvent } from '../events.js'
import { countingWait, type Exchange } from '../exchange.js'
import type { Call } from '../http/call.js'
import { discard } from '../http/take-in.js'
import type { Engine } from '../pool/create-pool.js'
import type { CacheSettings } from '../settings.js'

export interface CacheLayerOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly settings: CacheSettings
  readonly cache: ResponseCache
  readonly keys: CacheKeys
  readonly tenants: Tenants
  /** What the cache is to do about a call. */
  plan(call: Call): Promise<CachePlan>
  readonly flights: SingleFlight
  /** Sends a request once more, without a caller who waits for it. */
  background(exchange: Exchange, send: (unattended: Exchange) => Promise<unknown>): void
  urlOf(call: Call): string
}

type Next = (exchange: Exchange) => Promise<Response>

/** Answers from the cache where RFC 9111 lets a private cache do so, and lets equal requests share one answer. */
export function cacheLayer(options: CacheLayerOptions): (next: Next) => Next {
  const { engine, clock, settings, cache, keys, tenants, plan, flights, background, urlOf } = options
  const { counters, emit } = engine
  const invalidate = invalidations(keys, cache, flights)
  /** What is being revalidated in the background. */
  const revalidating = new Set<string>()
  let changes = 0

  return next => {
    /** Sends, and keeps what comes; others may join meanwhile. */
    async function load(exchange: Exchange, planned: CachedPlan): Promise<Response> {
      const { key } = planned
      const flight = flights.start(planned.flightName, key)
      const requestedAt = clock.wallNow()
      try {
        const response = await next(exchange)
        const from = provenance(exchange, exchange.call, planned, requestedAt)
        const isHeadOfSame = exchange.call.method === 'HEAD' && response.status === 200 && !response.redirected
        if (isHeadOfSame && tenants.ofKey(exchange.keyId) === planned.tenant) {
          cache.freshen(keys.keyOfUrl(exchange.call.url), response, from)
        }
        return await cache.keep(response, from, flight)
      } catch (error) {
        flight.land(fallen(exchange))
        throw error
      }
    }

    function provenance({ keyId }: Exchange, call: Call, { key, tenant }: CachedPlan, requestedAt: number): Provenance {
      return { call, key, tenant, keyId, requestedAt }
    }

    /** Asks the server whether a stored response is still good. */
    async function revalidate(exchange: Exchange, planned: CachedPlan, entry: CacheEntry): Promise<Response> {
      if (!hasValidator(entry)) return revalidateWithout(exchange, planned, entry)
      const headers = new Headers(exchange.call.headers)
      for (const [name, value] of conditionsFor(entry)) if (!headers.has(name)) headers.set(name, value)
      const { call } = exchange
      exchange.call = { ...call, headers, unconditional: call.headers, rest: { ...revalidationMode(), ...call.rest } }
      exchange.preferredKeyId = entry.keyId ?? undefined
      const flight = flights.start(planned.flightName, planned.key)
      const requestedAt = clock.wallNow()
      try {
        const response = await next(exchange)
        const from = provenance(exchange, call, planned, requestedAt)
        if (response.status === 304) {
          void discard(response)
          if (tenants.ofKey(exchange.keyId) !== planned.tenant) {
            // Another tenant has such a thing too; whether it is the same, nobody says.
            flight.land({ kind: 'unshared' })
            exchange.call = call
            return await load(exchange, planned)
          }
          const confirmed = await cache.confirm(entry, response, from, flight)
          counters.cache.revalidated++
          return serve(exchange, confirmed, 'revalidated')
        }
        if (mustFallBack(exchange, planned, entry, response)) {
          void discard(response)
          flight.land({ kind: 'failed' })
          return serve(exchange, entry, 'stale')
        }
        missed(exchange, 'changed')
        return await cache.keep(response, from, flight)
      } catch (error) {
        flight.land(fallen(exchange))
        return fallBack(exchange, planned, entry, error)
      }
    }

    /** A stale response that nothing can confirm: a new one takes its place, or it stands in for one that failed. */
    async function revalidateWithout(exchange: Exchange, planned: CachedPlan, entry: CacheEntry): Promise<Response> {
      try {
        const response = await load(exchange, planned)
        if (mustFallBack(exchange, planned, entry, response)) {
          void discard(response)
          return serve(exchange, entry, 'stale')
        }
        missed(exchange, 'stale')
        return response
      } catch (error) {
        return fallBack(exchange, planned, entry, error)
      }
    }

    function fallBack(exchange: Exchange, { wish }: CachedPlan, entry: CacheEntry, error: unknown): Response {
      // Who asks for nothing but what was validated gets the error.
      if (exchange.signal?.aborted || wish.mode === 'no-cache') throw error
      const why = KeypoolError.is(error, 'ERR_POOL_EXHAUSTED') ? 'exhausted' : 'failed'
      if (mayServeStale(entry, clock.wallNow(), why)) return serve(exchange, entry, 'stale')
      // RFC 9111 section 5.2.2.2: what must be revalidated, and cannot be, is an error of the cache's own.
      if (entry.revalidate === 'may-be-stale' || KeypoolError.is(error)) throw error
      return gatewayTimeout(exchange, 'stale')
    }

    function mustFallBack(exchange: Exchange, { wish }: CachedPlan, entry: CacheEntry, { status }: Response): boolean {
      if (wish.mode === 'no-cache') return false
      if (exchange.exhausted) return mayServeStale(entry, clock.wallNow(), 'exhausted')
      return status >= 500 && mayServeStale(entry, clock.wallNow(), 'failed')
    }

    function serve(
      exchange: Exchange,
      entry: CacheEntry,
      how: CacheHitEvent['how'],
      response = cache.toResponse(entry, exchange.call.method),
    ): Response {
      if (!exchange.attended) return response
      const { id: callId, call } = exchange
      const { method } = call
      const age = Math.floor(ageOf(entry, clock.wallNow()) / 1000)
      exchange.fromCache = true
      counters.cacheHit()
      if (how === 'stale') counters.cache.stale++
      if (how === 'joined') counters.cache.joined++
      emit('cache-hit', () => ({ callId, method, url: urlOf(call), age, how }))
      return response
    }

    function serveStored(exchange: Exchange, entry: CacheEntry, part?: Response): Response {
      return serve(exchange, entry, ageOf(entry, clock.wallNow()) < entry.lifetime ? 'fresh' : 'stale', part)
    }

    /** Takes in what nobody waits for, so that it can be stored. */
    async function discardWhole(response: Promise<Response>): Promise<void> {
      await discard(await response, settings.maxBodyBytes)
    }

    function missed({ id: callId, call }: Exchange, why: CacheMissedEvent['why']): void {
      counters.cache.misses++
      emit('cache-missed', () => ({ callId, method: call.method, url: urlOf(call), why }))
    }

    /** RFC 9111 sections 5.2.1.7 and 5.2.2.2. */
    function gatewayTimeout(exchange: Exchange, why: CacheMissedEvent['why']): Response {
      missed(exchange, why)
      return new Response(null, { status: 504, statusText: 'Gateway Timeout' })
    }

    /** What a call gets that wants an answer of the cache's or none, where there is none. */
    function withoutServer(
      exchange: Exchange,
      { wish }: CachedPlan,
      why: CacheMissedEvent['why'],
    ): Response | undefined {
      if (wish.mode === 'only-if-cached') {
        throw new TypeError('fetch failed', { cause: new Error("cache mode 'only-if-cached' and nothing stored") })
      }
      return 'only-if-cached' in wish.control ? gatewayTimeout(exchange, why) : undefined
    }

    /** A part of a stored answer; else the server's, which is not stored: parts and wholes are never mixed up. */
    async function answerPart(exchange: Exchange, planned: CachedPlan, range: string): Promise<Response> {
      const { call } = exchange
      const entry = await abortable(clock, cache.find(planned.key, call, planned.tenant), exchange.signal)
      if (entry && decideReuse(entry, planned.wish, clock.wallNow()).kind === 'serve') {
        const part = cache.partOf(entry, range)
        if (part) return serveStored(exchange, entry, part)
      }
      const none = withoutServer(exchange, planned, 'absent')
      if (none) return none
      missed(exchange, 'bypassed')
      return next(exchange)
    }

    /** A stored answer to GET answers HEAD too, while it is fresh (RFC 9110 section 9.3.2, RFC 9111 section 4). */
    async function answerHead(exchange: Exchange, { wish, tenant }: CachedPlan): Promise<Response | undefined> {
      const { call } = exchange
      const entry = await abortable(clock, cache.find(keys.keyOfUrl(call.url), call, tenant), exchange.signal)
      if (!entry || decideReuse(entry, wish, clock.wallNow()).kind !== 'serve') return undefined
      return serveStored(exchange, entry)
    }

    /** An answer of the store, of another call that is on its way, or of the server. */
    async function answer(exchange: Exchange, planned: CachedPlan): Promise<Response> {
      const { call } = exchange
      const { wish, key, tenant, flightName } = planned
      if (wish.range !== undefined) return answerPart(exchange, planned, wish.range)
      const ofGet = call.method === 'HEAD' ? await answerHead(exchange, planned) : undefined
      if (ofGet) return ofGet
      const entry = await abortable(clock, cache.find(key, call, tenant), exchange.signal)
      const reuse = entry && decideReuse(entry, wish, clock.wallNow())
      if (entry && reuse?.kind === 'serve') return serveStored(exchange, entry)
      const none = withoutServer(exchange, planned, entry ? 'stale' : 'absent')
      if (none) return none
      if (entry && reuse?.kind === 'serve-stale') {
        // One at a time for what is stored, whatever else tells these calls apart.
        const name = `${key}\n${entry.variant}`
        if (!flights.isUnderWay(flightName) && !revalidating.has(name)) {
          revalidating.add(name)
          background(exchange, unattended =>
            discardWhole(revalidate(unattended, planned, entry)).finally(() => revalidating.delete(name)),
          )
        }
        return serve(exchange, entry, 'stale')
      }
      while (wish.mode === 'default' && flights.isUnderWay(flightName)) {
        const landing = await countingWait(exchange, clock, () => flights.join(flightName, exchange.signal))
        if (landing?.kind === 'shared') return serve(exchange, landing.entry, 'joined')
        // When one has given up, the first to come here sends, and the others join that. After a failure each goes by
        // itself: one after the other they would wait for a server that is down.
        if (landing?.kind !== 'aborted') break
      }
      // From here to the announcement of the flight nothing may be awaited: equal calls would pass each other by.
      if (entry) return revalidate(exchange, planned, entry)
      missed(exchange, 'absent')
      return load(exchange, planned)
    }

    /** A call that changes something, by its method. */
    async function change(exchange: Exchange): Promise<Response> {
      const { call } = exchange
      const requestedAt = clock.wallNow()
      // Announced, so that its answer is not kept when something else changes the same before it is there.
      const flight = flights.start(`${call.method} ${++changes}`, keys.keyOfUrl(call.url))
      try {
        const response = await next(exchange)
        invalidate(call, response, flight)
        const planned = isAnswerToGet(call, response)
          ? await plan({ ...call, method: 'GET', body: { kind: 'none' } })
          : undefined
        if (planned?.kind === 'cached') {
          const from = provenance(exchange, { ...call, method: 'GET' }, planned, requestedAt)
          return await cache.keep(response, from, flight)
        }
        flight.land({ kind: 'unshared' })
        return response
      } catch (error) {
        flight.land({ kind: 'failed' })
        throw error
      }
    }

    /** Whether an answer to POST is what a GET of the same URL would bring, by its own word and with explicit freshness (RFC 9110 section 9.3.3). */
    function isAnswerToGet(call: Call, { ok, headers }: Response): boolean {
      const location = headers.get('content-location')
      return (
        call.method === 'POST' &&
        ok &&
        settings.methods.has('GET') &&
        location !== null &&
        URL.canParse(location, call.url) &&
        keys.keyOfUrl(new URL(location, call.url).href) === keys.keyOfUrl(call.url) &&
        (headers.has('expires') || /\bmax-age\b/i.test(headers.get('cache-control') ?? ''))
      )
    }

    return async function cached(exchange) {
      const { call } = exchange
      const planned = await abortable(clock, plan(call), exchange.signal)
      if (planned.kind === 'cached') {
        if (planned.wish.mode !== 'reload' || planned.wish.range !== undefined) return answer(exchange, planned)
        missed(exchange, 'bypassed')
        return load(exchange, planned)
      }
      if (planned.kind === 'bypassed') missed(exchange, 'bypassed')
      // Posting that is a way of asking changes nothing.
      if (isSafe(call) || (planned.kind === 'bypassed' && settings.methods.has(call.method))) return next(exchange)
      return change(exchange)
    }
  }
}

/**
 * The mode of a request that revalidates. In the default mode the platform takes conditions for the caller's own, and tells
 * every cache on the way to stand aside: `Cache-Control: no-cache` (Fetch standard, "HTTP-network-or-cache fetch", steps
 * 8.13 and 8.16). Where modes are not known, they are not named.
 */
function revalidationMode(): RequestInit {
  knowsCacheModes ??= (() => {
    try {
      return new Request('https://example.com', { cache: 'no-cache' }).cache === 'no-cache'
    } catch {
      // Cloudflare Workers refuse modes that they don't implement.
      return false
    }
  })()
  return knowsCacheModes ? { cache: 'no-cache' } : {}
}

let knowsCacheModes: boolean | undefined

/** How a flight ends that brought no response: where its own caller gave up, the next who waits may try for all. */
function fallen(exchange: Exchange): Landing {
  return exchange.signal?.aborted ? { kind: 'aborted' } : { kind: 'failed' }
}
