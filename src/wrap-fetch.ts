import { cacheKeys } from './cache/cache-key.js'
import { memoryStore } from './cache/memory-store.js'
import { ResponseCache } from './cache/response-cache.js'
import { SingleFlight } from './cache/single-flight.js'
import { type Clock, systemClock } from './clock.js'
import { formatDuration } from './duration.js'
import { KeypoolError, KeypoolTimeoutError } from './errors.js'
import type { Exchange } from './exchange.js'
import { createAuthoriser } from './http/authorise.js'
import { type Call, readCall } from './http/call.js'
import { publicUrl } from './http/public-url.js'
import { cacheLayer } from './layers/cache.js'
import { followRedirects } from './layers/redirect.js'
import { retry } from './layers/retry.js'
import { schedule } from './layers/schedule.js'
import { transport } from './layers/transport.js'
import type { Options } from './options.js'
import { createPool, type Engine } from './pool/create-pool.js'
import { demands } from './pool/demands.js'
import type { KeyPool } from './pool/key-pool.js'
import { routes } from './pool/routes.js'
import { resolveOptions, type Settings } from './settings.js'

/** A `fetch` with a pool of keys behind it. */
export type PooledFetch = typeof globalThis.fetch & {
  /** The keys: their state, their events, and what can be done with them. */
  readonly pool: KeyPool
  /**
   * Takes no more requests to the pooled origins, sends away those that wait (`ERR_CLOSED`), and settles when those on
   * their way have been answered.
   */
  close(): Promise<void>
}

/**
 * Wraps `fetch` so that requests to the given origins go out with one of the keys: paced below each key's limits,
 * passed on to the next key when one is refused, retried when the server is in trouble, and answered from the cache
 * where that is right. Requests to other origins pass through untouched.
 *
 * @example
 * const fetch = wrapFetch(globalThis.fetch, {
 *   origins: 'https://api.example.com',
 *   keys: [process.env.KEY_A!, process.env.KEY_B!],
 *   limits: { requests: 60, per: '1m' },
 * })
 * @throws InvalidOptionError for an option that can't be meant
 */
export function wrapFetch(fetch: typeof globalThis.fetch, options: Options): PooledFetch {
  if (typeof fetch !== 'function') throw new TypeError('wrapFetch: expected a fetch function as its first argument.')
  const settings = resolveOptions(options)
  const clock = systemClock()
  const engine = createPool(settings, clock)
  const urls = routes(settings)
  const { send, urlOf } = layersOf(fetch, settings, engine, clock)
  const calls = new Set<Promise<Response>>()
  let closed = false

  async function pooled(input: RequestInfo | URL, init: RequestInit | undefined): Promise<Response> {
    const call = readCall(input, init)
    call.signal?.throwIfAborted()
    const ready = engine.ready()
    if (ready) await ready
    const total =
      settings.timeout.total === undefined ? undefined : startTotal(clock, settings.timeout.total, call.signal)
    const exchange = newExchange(call, total?.signal ?? call.signal, clock.now())
    try {
      return await finished(exchange, send(exchange))
    } finally {
      total?.clear()
    }
  }

  /** Counts and tells how a call has ended. */
  async function finished(exchange: Exchange, answer: Promise<Response>): Promise<Response> {
    const { startedAt } = exchange
    const tell = (status: number | null, error: string | null) =>
      engine.emit('request-finished', () => {
        const { call, keyId, attempts, waited, fromCache } = exchange
        const duration = clock.now() - startedAt
        return { keyId, method: call.method, url: urlOf(call), status, error, attempts, duration, waited, fromCache }
      })
    try {
      const response = await answer
      engine.counters.answered++
      tell(response.status, null)
      return response
    } catch (error) {
      engine.counters.failed++
      tell(null, error instanceof Error ? error.name : String(error))
      throw error
    }
  }

  // `fetch` has one argument that it needs; the second must not count in `length`.
  function wrapped(input: RequestInfo | URL, init: RequestInit | undefined = undefined): Promise<Response> {
    if (!urls.isPooled(input)) {
      engine.counters.passedThrough++
      return fetch(input, init)
    }
    if (closed) return Promise.reject(new KeypoolError('ERR_CLOSED', 'This fetch was closed.'))
    engine.counters.requests++
    const answer = pooled(input, init)
    calls.add(answer)
    const forget = () => calls.delete(answer)
    answer.then(forget, forget)
    return answer
  }

  async function close(): Promise<void> {
    closed = true
    engine.close()
    await Promise.allSettled(calls)
  }

  Object.defineProperty(wrapped, 'name', { value: 'fetch', configurable: true })
  return Object.assign(wrapped as typeof globalThis.fetch, { pool: engine.pool, close })
}

/** Puts the layers together, outermost first: cache, retry, schedule, redirect, transport. */
function layersOf(fetch: typeof globalThis.fetch, settings: Settings, engine: Engine, clock: Clock) {
  const { auth, maxWait, onExhausted } = settings
  const now = () => clock.now()
  const urls = routes(settings)
  const authoriser = typeof auth === 'function' ? undefined : createAuthoriser(auth)
  const strip = authoriser?.strip ?? (url => url)
  const urlOf = (call: Call) => publicUrl(call.url, strip, text => engine.registry.isValue(text))
  const { demandFor } = demands({ engine, settings, now, urlOf })

  const sender = transport({ fetch, clock, auth, authoriser, timeout: settings.timeout.attempt })
  const attempt = (exchange: Exchange, lease: Parameters<ReturnType<ReturnType<typeof followRedirects>>>[1]) => {
    const redirect = followRedirects({
      urlFor: urls.urlFor,
      mayTravel: urls.mayTravel,
      withoutKey: (url, key) => urls.withoutKey(strip(url), key),
      safeWithNativeRedirects: authoriser?.safeWithNativeRedirects ?? false,
      async renew(lease) {
        const { key } = lease
        lease.end()
        return engine.scheduler.acquire({ ...demandFor(exchange, maxWait), accepts: each => each === key })
      },
    })
    return redirect(sender(exchange.signal))(exchange.call, lease)
  }
  const scheduled = schedule({ engine, clock, onExhausted, maxWait, urlOf, demandOf: demandFor })(attempt)
  const retried = retry({ engine, clock, retry: settings.retry, maxWait, urlOf })(scheduled)
  if (!settings.cache) return { send: retried, urlOf }

  const authHeader =
    auth === 'bearer'
      ? 'authorization'
      : typeof auth === 'object' && 'header' in auth
        ? auth.header.toLowerCase()
        : undefined
  const keys = cacheKeys(strip, authHeader)
  const { store, maxBytes, maxEntries, maxBodyBytes, ...defaults } = settings.cache
  const cache = new ResponseCache({
    store: store ?? memoryStore({ maxBytes, maxEntries, now }),
    ...{ keys, defaults, maxBodyBytes, now },
    storeFailed: () => {
      engine.counters.cache.storeErrors++
    },
  })
  const flights = new SingleFlight()
  const background = (exchange: Exchange, work: () => Promise<unknown>) => {
    work().catch((error: unknown) => {
      engine.counters.failed++
      engine.emit('request-finished', () => {
        const { call, keyId, attempts, waited, startedAt } = exchange
        const name = error instanceof Error ? error.name : String(error)
        const duration = now() - startedAt
        return {
          keyId,
          method: call.method,
          url: urlOf(call),
          status: null,
          error: name,
          attempts,
          duration,
          waited,
          fromCache: false,
        }
      })
    })
  }
  return {
    send: cacheLayer({ engine, clock, settings: settings.cache, cache, keys, flights, background, urlOf })(retried),
    urlOf,
  }
}

function newExchange(call: Call, signal: AbortSignal | undefined, startedAt: number): Exchange {
  return {
    ...{ call, signal, startedAt },
    waited: 0,
    attempts: 0,
    keyId: null,
    fromCache: false,
    attended: true,
    exhausted: false,
    preferredKeyId: undefined,
  }
}

/** Joins the `total` timeout to the caller's signal; taken away again when the response is there, whose body has no deadline. */
function startTotal(clock: Clock, milliseconds: number, signal: AbortSignal | undefined) {
  const controller = new AbortController()
  const clear = clock.schedule(() => {
    controller.abort(new KeypoolTimeoutError(`No answer within timeout.total (${formatDuration(milliseconds)}).`))
  }, milliseconds)
  return { signal: signal ? AbortSignal.any([signal, controller.signal]) : controller.signal, clear }
}
