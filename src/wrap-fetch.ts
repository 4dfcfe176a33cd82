import { cacheKeys } from './cache/cache-key.js'
import { memoryStore } from './cache/memory-store.js'
import { type CacheForecast, cacheForecasts, cachePlans } from './cache/plan.js'
import { ResponseCache } from './cache/response-cache.js'
import { SingleFlight } from './cache/single-flight.js'
import { ONE_TENANT, type Tenants } from './cache/tenants.js'
import { abortable, type Clock, systemClock } from './clock.js'
import { type Deadline, startDeadline } from './deadline.js'
import { describe } from './describe.js'
import { formatDuration } from './duration.js'
import { InvalidOptionError, KeypoolError, KeypoolTimeoutError } from './errors.js'
import { countingWait, type Exchange } from './exchange.js'
import type { Explanation } from './explanation.js'
import { type Call, readCall } from './http/call.js'
import { cancelBody } from './http/call-body.js'
import { type CacheLayerOptions, cacheLayer } from './layers/cache.js'
import { followRedirects } from './layers/redirect.js'
import { retry } from './layers/retry.js'
import { schedule } from './layers/schedule.js'
import { transport } from './layers/transport.js'
import type { Options } from './options.js'
import { createPool, type Engine } from './pool/create-pool.js'
import type { Demand } from './pool/demand.js'
import { demands } from './pool/demands.js'
import type { KeyPool } from './pool/key-pool.js'
import type { Lease } from './pool/lease.js'
import type { PooledKey } from './pool/pooled-key.js'
import { type Routes, routes } from './pool/routes.js'
import { resolveOptions, type Settings } from './settings.js'

/** What the wrapped `fetch` takes besides a URL: all that `fetch` does. */
export type PooledInit = NonNullable<Parameters<typeof globalThis.fetch>[1]> & {
  /** Moves a waiting request ahead or back. @default 'auto' */
  priority?: 'high' | 'low' | 'auto' | undefined
  /** How the cache is used. @default 'default' */
  cache?: 'default' | 'no-store' | 'reload' | 'no-cache' | 'force-cache' | 'only-if-cached' | undefined
}

/** A `fetch` with a pool of keys behind it. */
export type PooledFetch = typeof globalThis.fetch & {
  /** With what of the standard's init not every runtime's types know. */
  (input: Parameters<typeof globalThis.fetch>[0], init?: PooledInit): Promise<Response>
  /** The keys: their state, their events, and what can be done with them. */
  readonly pool: KeyPool
  /**
   * What would happen to this request now, without sending it: what the cache would do, which key it would get, how long
   * it would wait, and why.
   */
  explain(
    input: Parameters<typeof globalThis.fetch>[0],
    init?: Parameters<typeof globalThis.fetch>[1],
  ): Promise<Explanation>
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
  if (typeof fetch !== 'function') throw new InvalidOptionError('fetch', 'a fetch function', describe(fetch))
  const settings = resolveOptions(options)
  const clock = systemClock()
  const engine = createPool(settings, clock)
  const urls = routes(settings)
  const closing = new AbortController()
  const { send, urlOf, explainPooled } = layersOf(fetch, settings, engine, clock, urls, runUnattended)
  const underWay = new Set<Promise<unknown>>()

  async function pooled(
    input: RequestInfo | URL,
    init: RequestInit | undefined,
    target: URL | undefined,
  ): Promise<Response> {
    const call = readCall(input, init, target)
    if (call.signal?.aborted) {
      cancelBody(call.body, call.signal.reason)
      throw call.signal.reason
    }
    const total = startTotal(clock, settings.timeout.total, call.signal)
    const exchange = newExchange(call, total.signal, clock.now())
    try {
      return await finished(exchange, async () => {
        await keysAreThere(exchange)
        await bodyIsThere(exchange)
        return send(exchange)
      })
    } finally {
      total.clear()
    }
  }

  /** Waits for the first keys of a function: no longer than for any key, and not beyond an abort. */
  async function keysAreThere({ signal }: Exchange): Promise<void> {
    const ready = engine.ready()
    if (!ready) return
    const alive = signal ? AbortSignal.any([signal, closing.signal]) : closing.signal
    const deadline = startDeadline(clock, settings.maxWait, alive, () => {
      const message = `The function given as 'keys' brought none within maxWait (${formatDuration(settings.maxWait)}).`
      return new KeypoolError('ERR_KEYS_UNAVAILABLE', message)
    })
    await abortable(clock, ready, deadline.signal).finally(deadline.clear)
  }

  /** Where the body says what a request shares its limits with, that of a `Request` must be read first. */
  async function bodyIsThere({ call, signal }: Exchange): Promise<void> {
    const { body, headers } = call
    if (settings.scope === 'key' || settings.scope === 'route' || body.kind !== 'request') return
    const type = headers.get('content-type') ?? body.request.headers.get('content-type') ?? ''
    if (/json/i.test(type)) await abortable(clock, body.kept.whole(), signal)
  }

  /** Sends a call once more in the background, bounded by the timeout and by the life of the pool. */
  function runUnattended(original: Exchange, work: (exchange: Exchange) => Promise<unknown>): void {
    const total = startTotal(clock, settings.timeout.total ?? UNATTENDED, closing.signal)
    const call = { ...original.call, signal: total.signal }
    const exchange = { ...newExchange(call, total.signal, clock.now()), attended: false }
    const done = work(exchange)
      // Nobody waits for it: the event is all that there is to be told.
      .catch(error => tell(exchange, null, error))
      .finally(total.clear)
    track(done)
  }

  /** Counts and tells how a call has ended. */
  async function finished(exchange: Exchange, answer: () => Promise<Response>): Promise<Response> {
    try {
      const response = await answer()
      engine.counters.answered++
      if (exchange.keyId !== null) engine.counters.waited(exchange.keyId, exchange.waited)
      tell(exchange, response.status, null)
      return response
    } catch (error) {
      engine.counters.failed++
      tell(exchange, null, error)
      throw error
    }
  }

  function tell(exchange: Exchange, status: number | null, error: unknown): void {
    engine.emit('request-finished', () => {
      const { call, keyId, attempts, waited, fromCache, startedAt } = exchange
      const duration = clock.now() - startedAt
      const name = error === null ? null : error instanceof Error ? error.name : typeof error
      return {
        keyId,
        method: call.method,
        url: urlOf(call),
        status,
        error: name,
        attempts,
        duration,
        waited,
        fromCache,
      }
    })
  }

  function track(work: Promise<unknown>): void {
    underWay.add(work)
    const forget = () => underWay.delete(work)
    work.then(forget, forget)
  }

  // `fetch` has one argument that it needs; the second must not count in `length`.
  function wrapped(given: RequestInfo | URL, init: RequestInit | undefined = undefined): Promise<Response> {
    let input = given
    if (typeof given === 'object' && given !== null && !(given instanceof Request) && !(given instanceof URL)) {
      // Some other thing that has its URL as text, which is asked for that once.
      try {
        input = String(given)
      } catch (error) {
        return Promise.reject(error)
      }
    }
    const target = urls.targetOf(input)
    if (!urls.isPooled(target)) {
      engine.counters.passedThrough++
      return fetch(input, init)
    }
    if (closing.signal.aborted) return Promise.reject(closing.signal.reason)
    engine.counters.called()
    const answer = pooled(input, init, target)
    track(answer)
    return answer
  }

  async function explain(input: RequestInfo | URL, init?: RequestInit): Promise<Explanation> {
    // A copy, so that the body of a `Request` is left to whoever made it.
    const call = readCall(input instanceof Request && !input.bodyUsed ? input.clone() : input, init)
    const common = { method: call.method, url: urlOf(call) }
    if (!urls.isPooled(urls.targetOf(input))) return { ...common, ...PASSED_THROUGH }
    if (closing.signal.aborted) return { ...common, ...CLOSED }
    await engine.ready()
    const exchange = newExchange(call, call.signal, clock.now())
    await bodyIsThere(exchange)
    return { ...common, ...(await explainPooled(exchange)) }
  }

  async function close(): Promise<void> {
    closing.abort(new KeypoolError('ERR_CLOSED', 'This fetch was closed.'))
    engine.close()
    while (underWay.size > 0) await Promise.allSettled(underWay)
  }

  Object.defineProperty(wrapped, 'name', { value: 'fetch', configurable: true })
  return Object.assign(wrapped as PooledFetch, { pool: engine.pool, explain, close })
}

const CLOSED: Omit<Explanation, 'method' | 'url'> = {
  ...{ outcome: 'fail', cache: 'off', keyId: null, part: null, wait: null, ahead: 0, keys: [] },
  why: 'This fetch was closed.',
}

const PASSED_THROUGH: Omit<Explanation, 'method' | 'url'> = {
  outcome: 'pass-through',
  cache: 'off',
  keyId: null,
  part: null,
  wait: 0,
  ahead: 0,
  keys: [],
  why: 'Its origin is not among those of the pool: it is passed through as it is.',
}

/** How long a request in the background may take where no `timeout` says it, in milliseconds. */
const UNATTENDED = 60_000

/** Puts the layers together, outermost first: cache, retry, schedule, redirect, transport. */
function layersOf(
  fetch: typeof globalThis.fetch,
  settings: Settings,
  engine: Engine,
  clock: Clock,
  urls: Routes,
  background: CacheLayerOptions['background'],
) {
  const { auth, provider, maxWait, onExhausted } = settings
  const now = () => clock.now()
  const { authoriser, strip } = engine
  const urlOf = (call: Pick<Call, 'url'>) => engine.publicUrlOf(call.url)
  const { demandFor } = demands({ engine, settings, now, urlOf })

  const cleanUrl = (url: string, key: PooledKey) => urls.withoutKey(strip(url), key)
  const headers = Object.entries(provider?.headers ?? {})
  const sender = transport({ fetch, clock, auth, authoriser, cleanUrl, headers, timeout: settings.timeout.attempt })
  const attempt = (exchange: Exchange, lease: Lease) => {
    const redirect = followRedirects({
      urlFor: urls.urlFor,
      mayTravel: urls.mayTravel,
      withoutKey: cleanUrl,
      safeWithNativeRedirects: authoriser?.safeWithNativeRedirects ?? false,
      async renew(lease) {
        const { key } = lease
        lease.end()
        const demand = demandFor(exchange, maxWait - exchange.waited)
        return countingWait(exchange, clock, () =>
          engine.scheduler.acquire({ ...demand, group: `only ${key.id}`, accepts: each => each === key }),
        )
      },
    })
    return redirect(sender(exchange.signal))(exchange.call, lease)
  }
  const scheduled = schedule({ engine, clock, onExhausted, provider, maxWait, urlOf, demandOf: demandFor })(attempt)
  const retried = retry({ engine, clock, retry: settings.retry, maxWait, urlOf })(scheduled)
  const explainUncached = (exchange: Exchange, cache: CacheForecast) =>
    engine.preview(demandFor(exchange, maxWait), cache)
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
  const tenants = settings.cache.tenants === 'pool' ? ONE_TENANT : groupTenants(engine, demandFor, now)
  const cache = new ResponseCache({
    store: store ?? memoryStore({ maxBytes, maxEntries, now }),
    ...{ keys, tenants, defaults, maxBodyBytes, clock },
    scrub: (text, keyId) => engine.registry.scrub(text, keyId),
    storeFailed: () => {
      engine.counters.cache.storeErrors++
    },
  })
  const flights = new SingleFlight(clock)
  const plan = cachePlans({ settings: settings.cache, keys, tenants, urlOf })
  const forecast = cacheForecasts(plan, { cache, flights, now })
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

function newExchange(call: Call, signal: AbortSignal | undefined, startedAt: number): Exchange {
  return {
    call,
    signal,
    startedAt,
    waited: 0,
    attempts: 0,
    keyId: null,
    fromCache: false,
    attended: true,
    exhausted: false,
    preferredKeyId: undefined,
  }
}

/** The `total` timeout, joined to the caller's signal; cleared when the response is there, whose body has no deadline. */
function startTotal(clock: Clock, milliseconds: number | undefined, signal: AbortSignal | undefined): Deadline {
  return startDeadline(clock, milliseconds, signal, () => {
    return new KeypoolTimeoutError(`No answer within timeout.total (${formatDuration(milliseconds ?? 0)}).`)
  })
}
