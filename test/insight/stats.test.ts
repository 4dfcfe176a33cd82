import { wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Histogram } from '../../src/insight/histogram.js'
import { SeriesCounter } from '../../src/insight/series.js'

const ORIGIN = 'https://api.example.com'

describe('a histogram', () => {
  it('gives percentiles that are near the true ones', () => {
    const histogram = new Histogram()
    for (let value = 1; value <= 10_000; value++) histogram.add(value, 0)
    const { count, p50, p95, p99, max } = histogram.read(0)
    expect([count, max]).toEqual([10_000, 10_000])
    for (const [found, real] of [
      [p50, 5_000],
      [p95, 9_500],
      [p99, 9_900],
    ] as const) {
      expect(found / real).toBeGreaterThan(0.85)
      expect(found / real).toBeLessThan(1.15)
    }
  })

  it('forgets what was ten minutes ago, and is all zeros when it knows nothing', () => {
    const histogram = new Histogram()
    histogram.add(50, 1_000_000)
    expect(histogram.read(1_000_000 + 400_000).count).toBe(1)
    expect(histogram.read(1_000_000 + 1_000_000)).toEqual({ count: 0, p50: 0, p95: 0, p99: 0, max: 0 })
  })

  it('takes the shortest and the longest durations', () => {
    const histogram = new Histogram()
    for (const value of [0, 0.2, 1e12]) histogram.add(value, 0)
    expect(histogram.read(0)).toMatchObject({ count: 3, p50: 0, max: 1e12 })
  })
})

const at = (now: number) => ({ now, wall: now })

describe('a series', () => {
  it('keeps the last minute, hour and two days, and no more', () => {
    const series = new SeriesCounter()
    const start = Date.UTC(2026, 8, 6, 12)
    for (let second = 0; second < 200_000; second++) series.add('calls', 1, start + second * 1_000)
    const { seconds, minutes, hours } = series.read(at(start + 199_999_000))
    expect([seconds.length, minutes.length, hours.length]).toEqual([60, 60, 48])
    expect(seconds.every(({ calls }) => calls === 1)).toBe(true)
    expect(minutes.slice(0, -1).every(({ calls }) => calls === 60)).toBe(true)
    expect(hours.slice(0, -1).every(({ calls }) => calls === 3_600)).toBe(true)
    expect(seconds.at(-1)!.at.getTime()).toBe(start + 199_999_000)
    expect(series.lastMinutes('calls', 10, start + 199_999_000)).toBeGreaterThan(540)
  })

  it('has gaps where nothing was', () => {
    const series = new SeriesCounter()
    const start = Date.UTC(2026, 8, 6, 12)
    series.add('refused', 2, start)
    series.add('refused', 3, start + 30_000)
    expect(series.read(at(start + 31_000)).seconds.map(({ refused }) => refused)).toEqual([2, 3])
    expect(series.read(at(start + 3_000_000_000)).hours).toEqual([])
  })
})

describe('stats()', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  it('tells of each key and of all: attempts, refusals, rotations, waits, latency, bytes, series', async () => {
    const network: typeof globalThis.fetch = async (_, init) => {
      await new Promise(resolve => setTimeout(resolve, 200))
      const isA = new Headers(init?.headers).get('authorization') === 'Bearer a'
      return isA
        ? new Response(null, { status: 429, headers: { 'retry-after': '60' } })
        : new Response('12345', { headers: { 'content-length': '5' } })
    }
    const fetch = wrapFetch(network, { origins: ORIGIN, keys: ['a', 'b'], cache: false, strategy: 'fill-first' })
    const calls = Promise.all([1, 2, 3].map(() => fetch(ORIGIN)))
    await vi.advanceTimersByTimeAsync(5_000)
    await calls
    const stats = fetch.pool.stats()
    expect(stats).toMatchObject({ requests: 3, answered: 3, bytes: 15, tokens: 0, inFlight: 0, waiting: 0 })
    expect(stats.rotations).toBe(stats.refusals['rate-limit'])
    expect(stats.latency).toMatchObject({ count: 3 })
    expect(stats.latency.p50 / 200).toBeCloseTo(1, 0)
    expect(stats.waits.count).toBe(3)
    expect(stats.keys['key-1']).toMatchObject({ passed: 0, rotations: stats.rotations, bytes: 0 })
    expect(stats.keys['key-2']).toMatchObject({ passed: 3, rotations: 0, bytes: 15, latency: { count: 3 } })
    const [point] = stats.series.minutes
    expect(point).toMatchObject({ calls: 3, attempts: stats.attempts, passed: 3, refused: stats.rotations })
    expect(JSON.parse(JSON.stringify(stats))).toMatchObject({ requests: 3 })
  })
})
