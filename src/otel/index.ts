import { createHash } from 'node:crypto'
import {
  context,
  type Meter,
  metrics,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { PooledFetch } from 'fetch-keypool'
import { isRequest } from '../platform.js'

/** What {@link openTelemetry} takes; each is the global one if it is not given. */
export interface OpenTelemetryOptions {
  tracer?: Tracer | undefined
  meter?: Meter | undefined
}

/** Puts spans and metrics around a pooled fetch. */
export interface Instrumentation {
  /** For the `fetch` that is given to `wrapFetch`: a span for each attempt, a child of its call's. */
  attempts(fetch: typeof globalThis.fetch): typeof globalThis.fetch
  /** For the pooled fetch: a span for each call, and the pool's metrics. */
  calls<Fetch extends PooledFetch>(fetch: Fetch): Fetch
  /** Observes no more. */
  stop(): void
}

/** Where a call's attempts are counted, beside its span. */
const ATTEMPTS = Symbol('fetch-keypool.attempts')

/**
 * OpenTelemetry for a pooled fetch, by the semantic conventions for HTTP clients (1.23 and later): one span for a call, a
 * child for each attempt with `http.request.resend_count`, and gauges and counters of keys, whose ids are hashed.
 *
 * @example
 * const otel = openTelemetry()
 * const fetch = otel.calls(wrapFetch(otel.attempts(globalThis.fetch), { … }))
 */
export function openTelemetry(options: OpenTelemetryOptions = {}): Instrumentation {
  const tracer = options.tracer ?? trace.getTracer('fetch-keypool')
  const meter = options.meter ?? metrics.getMeter('fetch-keypool')
  const stops: (() => void)[] = []
  /** How many attempts a call has made, by its span. */
  const counts = new WeakMap<Span, { [ATTEMPTS]: number; readonly url: string | undefined }>()

  return {
    attempts(fetch) {
      return async function attempt(input, init) {
        const parent = trace.getActiveSpan()
        const count = parent && counts.get(parent)
        const method = init?.method ?? (isRequest(input) ? input.method : 'GET')
        const url = urlOf(input)
        const { 'url.full': _, ...attributes } = attributesOf(method, url)
        // The URL as the caller has written it: in this one there may be a key.
        if (count?.url) attributes['url.full'] = count.url
        const span = tracer.startSpan(method, { kind: SpanKind.CLIENT, attributes })
        if (count) {
          if (count[ATTEMPTS] > 0) span.setAttribute('http.request.resend_count', count[ATTEMPTS])
          count[ATTEMPTS]++
        }
        try {
          const response = await context.with(trace.setSpan(context.active(), span), () => fetch(input, init))
          ended(span, response.status)
          return response
        } catch (error) {
          failed(span, error)
          throw error
        } finally {
          span.end()
        }
      }
    },

    calls(fetch) {
      observe(fetch, meter, stops)
      const duration = meter.createHistogram('http.client.request.duration', {
        unit: 's',
        description: 'How long calls took, waits for keys and retries included.',
        // As the conventions advise.
        advice: {
          explicitBucketBoundaries: [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
        },
      })
      const wrapped = (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
        const method = init?.method ?? (isRequest(input) ? input.method : 'GET')
        const attributes = attributesOf(method, urlOf(input))
        const span = tracer.startSpan(method, { kind: SpanKind.INTERNAL, attributes })
        counts.set(span, { [ATTEMPTS]: 0, url: attributes['url.full'] as string | undefined })
        const from = performance.now()
        return context.with(trace.setSpan(context.active(), span), async () => {
          const { 'url.full': _, ...common } = attributes
          try {
            const response = await fetch(input, init)
            ended(span, response.status)
            duration.record((performance.now() - from) / 1000, {
              ...common,
              'http.response.status_code': response.status,
            })
            return response
          } catch (error) {
            failed(span, error)
            duration.record((performance.now() - from) / 1000, { ...common, 'error.type': typeOf(error) })
            throw error
          } finally {
            span.end()
          }
        })
      }
      Object.defineProperty(wrapped, 'name', { value: 'fetch', configurable: true })
      return Object.assign(wrapped, { pool: fetch.pool, explain: fetch.explain, close: fetch.close }) as typeof fetch
    },

    stop() {
      for (const stop of stops.splice(0)) stop()
    },
  }
}

/** Gauges and counters out of `stats()` and the keys, read when they are collected, and events. */
function observe({ pool }: PooledFetch, meter: Meter, stops: (() => void)[]): void {
  const remaining = meter.createObservableGauge('keypool.key.remaining', { description: 'What is left of a limit.' })
  const usable = meter.createObservableGauge('keypool.key.usable', { description: '1: the key is in order.' })
  const waiting = meter.createObservableGauge('keypool.waiting', { description: 'Calls that wait for a key.' })
  const refusals = meter.createObservableCounter('keypool.key.refusals', { description: 'Refusals, by cause.' })
  const collect: Parameters<Meter['addBatchObservableCallback']>[0] = result => {
    const stats = pool.stats()
    result.observe(waiting, stats.waiting)
    for (const { id, state, limits } of pool.keys()) {
      const key = { 'keypool.key.hash': hashOf(id) }
      result.observe(usable, state === 'ready' || state === 'busy' ? 1 : 0, key)
      for (const { unit, per, remaining: left } of limits) {
        result.observe(remaining, left, { ...key, unit, ...(per === null ? {} : { per: String(per) }) })
      }
      for (const [cause, count] of Object.entries(stats.keys[id]?.refusals ?? {})) {
        result.observe(refusals, count, { ...key, cause })
      }
    }
  }
  const all = [remaining, usable, waiting, refusals]
  meter.addBatchObservableCallback(collect, all)
  stops.push(() => meter.removeBatchObservableCallback(collect, all))

  const exhausted = meter.createCounter('keypool.key.exhausted', { description: 'How often a key ran out.' })
  const onExhausted = ({ keyId, cause }: { keyId: string; cause: string }) =>
    exhausted.add(1, { 'keypool.key.hash': hashOf(keyId), cause })
  pool.on('key-exhausted', onExhausted)
  stops.push(() => pool.off('key-exhausted', onExhausted))
}

function attributesOf(method: string, url: URL | undefined): Record<string, string | number> {
  return {
    'http.request.method': method.toUpperCase(),
    ...(url && {
      'server.address': url.hostname,
      'server.port': Number(url.port || (url.protocol === 'https:' ? 443 : 80)),
      // Without the query, in which a key may stand.
      'url.full': `${url.origin}${url.pathname}`,
    }),
  }
}

function urlOf(input: RequestInfo | URL): URL | undefined {
  const text = isRequest(input) ? input.url : String(input)
  return URL.canParse(text) ? new URL(text) : undefined
}

function ended(span: Span, status: number): void {
  span.setAttribute('http.response.status_code', status)
  if (status < 400) return
  span.setAttribute('error.type', String(status))
  span.setStatus({ code: SpanStatusCode.ERROR })
}

function failed(span: Span, error: unknown): void {
  span.setAttribute('error.type', typeOf(error))
  span.setStatus({ code: SpanStatusCode.ERROR })
}

function typeOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown }
  return typeof code === 'string' ? code : typeof name === 'string' ? name : '_OTHER'
}

function hashOf(id: string): string {
  return createHash('sha256').update(id).digest('hex').slice(0, 12)
}
