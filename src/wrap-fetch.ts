import { addCallerFrames } from './caller-frames.js'
import { abortable, type Clock, systemClock } from './clock.js'
import { composeLayers } from './compose.js'
import { type Deadline, startDeadline } from './deadline.js'
import { describe } from './describe.js'
import { formatDuration } from './duration.js'
import { InvalidOptionError, KeypoolError, KeypoolTimeoutError } from './errors.js'
import { type Exchange, newExchange } from './exchange.js'
import type { Explanation } from './explanation.js'
import { type Call, readCall } from './http/call.js'
import { cancelBody } from './http/call-body.js'
import { withoutRateLimitHeaders } from './http/rate-limit-headers.js'
import type { Options } from './options.js'
import { Overflow } from './overflow.js'
import { anySignal, isError, isRequest, missingClasses } from './platform.js'
import { createPool } from './pool/create-pool.js'
import type { KeyPool } from './pool/key-pool.js'
import { routes } from './pool/routes.js'
import { resolveOptions } from './settings.js'

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
 * @throws KeypoolError with `ERR_UNSUPPORTED_PLATFORM` where the environment lacks the web's classes
 */
export function wrapFetch(fetch: typeof globalThis.fetch, options: Options): PooledFetch {
  if (typeof fetch !== 'function') throw new InvalidOptionError('fetch', 'a fetch function', describe(fetch))
  const missing = missingClasses()
  if (missing.length > 0) {
    const message = `This environment has no ${missing.join(', ')}. Give it those of Node or of a polyfill before wrapFetch is called.`
    throw new KeypoolError('ERR_UNSUPPORTED_PLATFORM', message)
  }
  const settings = resolveOptions(options)
  const clock = systemClock()
  const engine = createPool(settings, clock, () => overflow)
  const urls = routes(settings)
  const closing = new AbortController()
  const { send, urlOf, explainPooled } = composeLayers(fetch, settings, engine, clock, urls, runUnattended)
  let underWay = 0
  let whenIdle: (() => void)[] = []

  // A call may wait for long, and many may: what it was made of is not in here, and nothing is awaited that is there.
  async function pooled(call: Call, since = clock.now()): Promise<Response> {
    underWay++
    const total = startTotal(clock, settings.timeout.total, call.signal)
    const exchange = newExchange(call, total.signal, since, engine.nextCallId())
    exchange.waited = clock.now() - since
    try {
      if (call.signal?.aborted) {
        cancelBody(call.body, call.signal.reason)
        throw call.signal.reason
      }
      const keys = keysAreThere(exchange)
      if (keys) await keys
      const body = bodyIsThere(exchange)
      if (body) await body
      const sent = await send(exchange)
      const response = settings.hideRateLimitHeaders ? withoutRateLimitHeaders(sent) : sent
      engine.counters.answered++
      // It may have waited in vain, and been given something stale.
      if (exchange.exhausted || exchange.isWaiting) engine.counters.waitedInVain(exchange.waited)
      else if (exchange.keyId !== null) engine.counters.waited(exchange.keyId, exchange.waited)
      tell(exchange, response.status, null)
      return response
    } catch (error) {
      failed(exchange, error)
      addCallerFrames(error)
      throw error
    } finally {
      total.clear()
      ended()
    }
  }

  /** The same for one of very many, which waits as little more than a promise until its turn comes near. */
  async function pooledInTurn(call: Call): Promise<Response> {
    const since = clock.now()
    underWay++
    try {
      await overflow.turn(call.signal)
    } catch (error) {
      cancelBody(call.body, error)
      const exchange = newExchange(call, call.signal, since, engine.nextCallId())
      exchange.waited = clock.now() - since
      exchange.isWaiting = true
      failed(exchange, error)
      ended()
      throw error
    }
    overflow.entered()
    try {
      return await pooled(call, since)
    } finally {
      ended()
    }
  }

  function failed(exchange: Exchange, error: unknown): void {
    engine.counters.failed++
    if (exchange.isWaiting) engine.counters.waitedInVain(exchange.waited)
    tell(exchange, null, error)
  }

  const overflow: Overflow = new Overflow({
    clock,
    maxWait: settings.patience,
    inLine: () => engine.scheduler.waiting,
  })

  /** Whether a call is one of many that stand in one line, and far back: nothing but time decides when it is served. */
  function isFarBack({ method, rank, signal }: Call): boolean {
    if (!overflow.isNeeded || rank !== 1 || signal?.aborted || settings.timeout.total !== undefined) return false
    if (settings.cache?.methods.has(method)) return false
    const { traits } = engine
    return settings.scope === 'key' && traits.costs().size === 0 && !traits.hasBaseUrls()
  }

  /** Waits for the first keys of a function: no longer than for any key, and not beyond an abort. `undefined`: they are there. */
  function keysAreThere({ signal }: Exchange): Promise<void> | undefined {
    const ready = engine.ready()
    if (!ready) return undefined
    const alive = signal ? anySignal(signal, closing.signal) : closing.signal
    const deadline = startDeadline(clock, settings.maxWait, alive, () => {
      const message = `The function given as 'keys' brought none within maxWait (${formatDuration(settings.maxWait)}).`
      return new KeypoolError('ERR_KEYS_UNAVAILABLE', message)
    })
    return abortable(clock, ready, deadline.signal).finally(deadline.clear)
  }

  /** Where the body says what a request shares its limits with, that of a `Request` must be read first. */
  function bodyIsThere({ call, signal }: Exchange): Promise<unknown> | undefined {
    const { body, headers } = call
    if (settings.scope === 'key' || settings.scope === 'route' || body.kind !== 'request') return undefined
    const type = headers.get('content-type') ?? body.request.headers.get('content-type') ?? ''
    return /json/i.test(type) ? abortable(clock, body.kept.whole(), signal) : undefined
  }

  /** Sends a call once more in the background, bounded by the timeout and by the life of the pool. */
  function runUnattended(original: Exchange, work: (exchange: Exchange) => Promise<unknown>): void {
    const total = startTotal(clock, settings.timeout.total ?? UNATTENDED, closing.signal)
    const call = { ...original.call, signal: total.signal }
    const exchange = { ...newExchange(call, total.signal, clock.now(), engine.nextCallId()), attended: false }
    const done = work(exchange)
      // Nobody waits for it: the event is all that there is to be told.
      .catch(error => tell(exchange, null, error))
      .finally(total.clear)
    underWay++
    void done.finally(ended)
  }

  function tell(exchange: Exchange, status: number | null, error: unknown): void {
    engine.emit('request-finished', () => {
      const { id: callId, call, keyId, attempts, trace, part, tokens, waited, fromCache, startedAt } = exchange
      const duration = clock.now() - startedAt
      const name = error === null ? null : isError(error) ? error.name : typeof error
      return {
        ...{ callId, keyId, method: call.method, url: urlOf(call), status, error: name, attempts, trace: [...trace] },
        ...{ part: part === '' ? null : part, tokens: tokens ?? null, duration, waited, fromCache },
      }
    })
  }

  /** One of those that `close` waits for is over. */
  function ended(): void {
    if (--underWay > 0) return
    const all = whenIdle
    whenIdle = []
    for (const each of all) each()
  }

  // `fetch` has one argument that it needs; the second must not count in `length`.
  function wrapped(given: RequestInfo | URL, init: RequestInit | undefined = undefined): Promise<Response> {
    let input = given
    if (typeof given === 'object' && given !== null && !isRequest(given) && !(given instanceof URL)) {
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
    if (closing.signal.aborted) return Promise.reject(closedError())
    engine.counters.called()
    let call: Call
    try {
      call = readCall(input, init, settings.replay.maxBytes, target)
    } catch (error) {
      return Promise.reject(error)
    }
    return isFarBack(call) ? pooledInTurn(call) : pooled(call)
  }

  async function explain(input: RequestInfo | URL, init?: RequestInit): Promise<Explanation> {
    // A copy, so that the body of a `Request` is left to whoever made it.
    const copy = isRequest(input) && !input.bodyUsed ? input.clone() : input
    const call = readCall(copy, init, settings.replay.maxBytes)
    const common = { method: call.method, url: urlOf(call) }
    if (!urls.isPooled(urls.targetOf(input))) return { ...common, ...PASSED_THROUGH }
    if (closing.signal.aborted) return { ...common, ...CLOSED }
    await engine.ready()
    const exchange = newExchange(call, call.signal, clock.now())
    await bodyIsThere(exchange)
    return { ...common, ...(await explainPooled(exchange)) }
  }

  async function close(): Promise<void> {
    closing.abort(closedError())
    engine.close()
    overflow.clear()
    while (underWay > 0) await new Promise<void>(resolve => whenIdle.push(resolve))
    await engine.membership?.close()
  }

  Object.defineProperty(wrapped, 'name', { value: 'fetch', configurable: true })
  return Object.assign(wrapped as PooledFetch, { pool: engine.pool, explain, close })
}

function closedError(): KeypoolError {
  return new KeypoolError('ERR_CLOSED', 'This fetch was closed.')
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

/** The `total` timeout, joined to the caller's signal; cleared when the response is there, whose body has no deadline. */
function startTotal(clock: Clock, milliseconds: number | undefined, signal: AbortSignal | undefined): Deadline {
  return startDeadline(clock, milliseconds, signal, () => {
    return new KeypoolTimeoutError(`No answer within timeout.total (${formatDuration(milliseconds ?? 0)}).`)
  })
}
