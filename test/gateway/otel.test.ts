import { context } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { wrapFetch } from 'fetch-keypool'
import { openTelemetry } from 'fetch-keypool/otel'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loopback } from '../helpers/loopback.js'

beforeAll(() => void context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable()))
afterAll(() => context.disable())

function instruments() {
  const spans = new InMemorySpanExporter()
  const tracers = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] })
  const exported = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter: exported, exportIntervalMillis: 1e6 })
  const meters = new MeterProvider({ readers: [reader] })
  const otel = openTelemetry({ tracer: tracers.getTracer('test'), meter: meters.getMeter('test') })
  const metrics = async () => {
    await reader.forceFlush()
    return exported.getMetrics().at(-1)!.scopeMetrics[0]!.metrics
  }
  return { otel, spans: () => spans.getFinishedSpans(), metrics, end: () => meters.shutdown() }
}

describe('OpenTelemetry', () => {
  it('has one span for a call and a child for each attempt, which counts those before it', async () => {
    const server = await loopback(({ key }, count) =>
      key === 'value-one'
        ? { status: 429, headers: { 'retry-after': '60' } }
        : { status: count === 2 ? 503 : 200, body: 'x' },
    )
    const { otel, spans, end } = instruments()
    const fetch = otel.calls(
      wrapFetch(otel.attempts(globalThis.fetch), {
        ...{
          origins: server.url,
          keys: ['value-one', 'value-two'],
          strategy: 'fill-first',
          retry: { retries: 2, minDelay: 1 },
        },
      }),
    )
    expect((await fetch(`${server.url}/v1/x?key=secret`)).status).toBe(200)
    const [call, ...others] = spans().filter(({ parentSpanContext }) => !parentSpanContext)
    const attempts = spans().filter(({ parentSpanContext }) => parentSpanContext?.spanId === call!.spanContext().spanId)
    expect(others).toEqual([])
    expect(
      attempts.map(({ attributes: all }) => [all['http.response.status_code'], all['http.request.resend_count']]),
    ).toEqual([
      [429, undefined],
      [503, 1],
      [200, 2],
    ])
    expect(attempts.map(({ kind }) => kind)).toEqual([2, 2, 2])
    expect(call!.attributes).toMatchObject({
      ...{ 'http.request.method': 'GET', 'http.response.status_code': 200, 'url.full': `${server.url}/v1/x` },
      ...{ 'server.address': '127.0.0.1', 'server.port': Number(new URL(server.url).port) },
    })
    expect(attempts[0]!.attributes['error.type']).toBe('429')
    expect(JSON.stringify(spans().map(({ attributes }) => attributes))).not.toMatch(/value-|secret|key-1/)
    await end()
  })

  it('tells of failures by their kind', async () => {
    const { otel, spans, end } = instruments()
    const fetch = otel.calls(
      wrapFetch(otel.attempts(globalThis.fetch), { origins: 'http://127.0.0.1:1', keys: ['k'], retry: false }),
    )
    await expect(fetch('http://127.0.0.1:1/x')).rejects.toThrow('fetch failed')
    expect(spans().map(({ attributes, status }) => [attributes['error.type'], status.code])).toEqual([
      ['TypeError', 2],
      ['TypeError', 2],
    ])
    await end()
  })

  it('measures calls and keys, whose ids are hashed, and stops when it is told to', async () => {
    const server = await loopback(({ key }) =>
      key === 'value-one' ? { status: 429, headers: { 'retry-after': '60' } } : { body: 'x' },
    )
    const { otel, metrics, end } = instruments()
    const fetch = otel.calls(
      wrapFetch(globalThis.fetch, {
        origins: server.url,
        keys: ['value-one', 'value-two'],
        limits: { requests: 10, per: '1m' },
      }),
    )
    await fetch(`${server.url}/x`)
    const all = await metrics()
    const of = (name: string) => all.find(({ descriptor }) => descriptor.name === name)!.dataPoints
    expect(of('http.client.request.duration')).toHaveLength(1)
    expect(of('http.client.request.duration')[0]!.attributes).toMatchObject({
      'http.request.method': 'GET',
      'http.response.status_code': 200,
    })
    expect(of('keypool.key.usable').map(({ value }) => value)).toEqual([0, 1])
    expect(of('keypool.key.remaining').at(-1)!.value).toBe(9)
    expect(of('keypool.key.exhausted')).toHaveLength(1)
    expect(JSON.stringify(all)).not.toMatch(/value-|key-1/)
    otel.stop()
    expect(fetch.pool.listenerCount('key-exhausted')).toBe(0)
    await end()
  })
})
