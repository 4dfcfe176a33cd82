import { type Logger, wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { recordEvents } from '../helpers/events.js'

const ORIGIN = 'https://api.example.com'
const ok: typeof globalThis.fetch = async () => new Response('ok')

describe('key-near-exhaustion', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  async function use(fetch: typeof globalThis.fetch, count: number, every: number) {
    for (let index = 0; index < count; index++) {
      await fetch(ORIGIN)
      await vi.advanceTimersByTimeAsync(every)
    }
  }

  it('comes at thresholds of your own, with the time at which it will be dry', async () => {
    const fetch = wrapFetch(ok, {
      origins: ORIGIN,
      keys: ['a'],
      limits: { requests: 100, per: 'day' },
      cache: false,
      alert: { remaining: [0.1, 0.5], ahead: 0 },
    })
    const events = recordEvents(fetch)
    await use(fetch, 95, 60_000)
    const told = events.of('key-near-exhaustion')
    expect(told).toMatchObject([
      { keyId: 'key-1', part: null, unit: 'requests', remaining: 50, limit: 100, threshold: 0.5, per: 'day' },
      { remaining: 10, threshold: 0.1 },
    ])
    // Fifty left at one a minute.
    expect(told[0]!.dryAt!.getTime() - Date.UTC(2026, 8, 6, 12, 49)).toBeLessThan(60 * 60_000)
    expect(told[1]!.dryAt!.getTime() - Date.now()).toBeLessThan(10 * 60_000)
  })

  it('comes ahead of time when the limit will be dry before its window ends, and not when it will not', async () => {
    const limits = { requests: 1_000, per: 'day' } as const
    const fast = wrapFetch(ok, { origins: ORIGIN, keys: ['a'], limits, cache: false, alert: { remaining: [] } })
    const slow = wrapFetch(ok, { origins: ORIGIN, keys: ['a'], limits, cache: false, alert: { remaining: [] } })
    const [ofFast, ofSlow] = [recordEvents(fast), recordEvents(slow)]
    await use(fast, 600, 2_000)
    expect(ofFast.of('key-near-exhaustion')).toEqual([])
    await use(fast, 200, 2_000)
    const [forecast, ...more] = ofFast.of('key-near-exhaustion')
    expect(more).toEqual([])
    expect(forecast).toMatchObject({ keyId: 'key-1', threshold: null })
    expect((forecast!.dryAt!.getTime() - Date.UTC(2026, 8, 6, 12)) / 2_000_000).toBeCloseTo(1, 1)
    await use(slow, 300, 200_000)
    expect(ofSlow.of('key-near-exhaustion')).toEqual([])
  })

  it('comes for limits that were learnt from fields', async () => {
    let left = 100
    const network: typeof globalThis.fetch = async () => {
      const reset = String(Math.floor(Date.UTC(2026, 8, 6, 13) / 1000))
      const headers = {
        'x-ratelimit-limit': '100',
        'x-ratelimit-remaining': String(--left),
        'x-ratelimit-reset': reset,
      }
      return new Response('ok', { headers })
    }
    const fetch = wrapFetch(network, { origins: ORIGIN, keys: ['a'], cache: false })
    const events = recordEvents(fetch)
    await use(fetch, 97, 1_000)
    expect(events.of('key-near-exhaustion').map(({ threshold }) => threshold)).toContain(0.2)
    expect(events.of('key-near-exhaustion')[0]).toMatchObject({ keyId: 'key-1', unit: 'requests', limit: 100 })
  })

  it('is quiet for a while about the same threshold, and not about a lower one', async () => {
    const options = { origins: ORIGIN, keys: ['a'], limits: { requests: 10, per: '1m' }, cache: false }
    const counts = []
    for (const quiet of ['0ms', '1h']) {
      const fetch = wrapFetch(ok, { ...options, alert: { remaining: [0.5, 0.2], ahead: 0, quiet } })
      const events = recordEvents(fetch)
      // Used up every two minutes, and full again in between.
      for (let round = 0; round < 5; round++) {
        await use(fetch, 9, 10)
        await vi.advanceTimersByTimeAsync(120_000)
      }
      counts.push(events.of('key-near-exhaustion').length)
    }
    expect(counts).toEqual([10, 2])
  })
})

describe('logger', () => {
  function recorder(enabled?: (level: string) => boolean) {
    const lines: { level: string; fields: object; message: string }[] = []
    const at = (level: string) => (fields: object, message: string) => void lines.push({ level, fields, message })
    const logger: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
    if (enabled) logger.isLevelEnabled = enabled
    return { lines, logger }
  }
  const network: typeof globalThis.fetch = async (_, init) => {
    const key = new Headers(init?.headers).get('authorization')
    if (key === 'Bearer secret-a') return new Response(null, { status: 401 })
    if (key === 'Bearer secret-b') return new Response(null, { status: 429, headers: { 'retry-after': '30' } })
    return new Response('ok')
  }
  const options = { origins: ORIGIN, keys: ['secret-a', 'secret-b', 'secret-c'], strategy: 'fill-first' as const }

  it('is told of every event at a level that fits, and of no key’s value', async () => {
    const { lines, logger } = recorder()
    await wrapFetch(network, { ...options, logger })(`${ORIGIN}/v1`)
    expect(lines.map(({ level, fields }) => [level, (fields as { event: string }).event])).toEqual([
      ['debug', 'cache-missed'],
      ['error', 'key-disabled'],
      ['debug', 'key-rotated'],
      ['warn', 'key-exhausted'],
      ['debug', 'key-rotated'],
      ['debug', 'request-finished'],
    ])
    expect(lines[3]!.message).toMatch(/^key-2 is exhausted \(rate-limit\), back at 20/)
    expect(JSON.stringify(lines)).not.toMatch(/secret/)
  })

  it('may be console', async () => {
    const written = (['debug', 'info', 'warn', 'error'] as const).map(level =>
      vi.spyOn(console, level).mockImplementation(() => {}),
    )
    await wrapFetch(network, { ...options, logger: console })(ORIGIN)
    expect(written.map(({ mock }) => mock.calls.length)).toEqual([4, 0, 1, 1])
    for (const spy of written) spy.mockRestore()
  })

  it('is not given what it says it doesn’t write', async () => {
    const { lines, logger } = recorder(level => level !== 'debug')
    await wrapFetch(network, { ...options, logger })(ORIGIN)
    expect(lines.map(({ level }) => level)).toEqual(['error', 'warn'])
  })

  it('that can’t be one is refused', () => {
    expect(() => wrapFetch(network, { ...options, logger: { info() {} } as never })).toThrow(
      "Option 'logger': expected a logger with debug, info, warn and error",
    )
    expect(() => wrapFetch(network, { ...options, alert: { remaining: [20] } })).toThrow(
      "Option 'alert.remaining[0]': expected a share from 0 to 1, got 20",
    )
  })
})
