import fc from 'fast-check'
import { wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { endOfCalendarWindow } from '../../src/calendar.js'
import { systemClock } from '../../src/clock.js'

const ORIGIN = 'http://api.test'
const HOUR = 3_600_000
const NOON = Date.UTC(2026, 8, 6, 12)

/** A system clock that the test sets, beside monotonic time and timers that go on as ever. */
let skew = 0
beforeEach(() => {
  skew = 0
  vi.useFakeTimers({ now: NOON })
  const faked = Date.now
  vi.spyOn(Date, 'now').mockImplementation(() => faked() + skew)
})
afterEach(() => {
  vi.restoreAllMocks()
  vi.useRealTimers()
})

const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds)

describe('a system clock that was wrong for a moment', () => {
  let answer = () => new Response('ok')
  const make = (options: object) => {
    answer = () => new Response('ok')
    return wrapFetch(async () => answer(), {
      ...{ origins: ORIGIN, keys: ['key-one'], cache: false, retry: false, maxWait: 10 },
      ...options,
    })
  }
  /** Sends one request while the clock is wrong, and sets it right. */
  const whileWrong = async (fetch: typeof globalThis.fetch, by: number) => {
    skew = by
    await fetch(ORIGIN)
    skew = 0
  }
  const refuse = () => {
    answer = () => new Response('', { status: 429, headers: { 'retry-after': '60' } })
  }

  it.each([2 * HOUR, -2 * HOUR, 400 * 24 * HOUR])('by %i ms leaves what is told right', async by => {
    const fetch = make({})
    await whileWrong(fetch, by)
    let until: Date | null | undefined
    fetch.pool.on('key-exhausted', event => {
      until = event.until
    })
    refuse()
    const error = await fetch(ORIGIN).catch(error => error)
    for (const date of [until!, error.retryAt, fetch.pool.keys()[0]!.until!, error.causes[0].until]) {
      expect(date.getTime() - NOON).toBeGreaterThan(50_000)
      expect(date.getTime() - NOON).toBeLessThan(70_000)
    }
    await pass(65_000)
    answer = () => new Response('back')
    expect(await (await fetch(ORIGIN)).text()).toBe('back')
  })

  it.each([2 * HOUR, -2 * HOUR])('by %i ms does not end a key before its time, nor after it', async by => {
    const fetch = make({})
    await whileWrong(fetch, by)
    const id = fetch.pool.add({ value: 'key-two', expiresAt: new Date(NOON + HOUR) })
    const state = () => fetch.pool.keys().find(key => key.id === id)!.state
    expect(state()).toBe('ready')
    await pass(HOUR - 1_000)
    expect(state()).toBe('ready')
    await pass(2_000)
    expect(state()).toBe('disabled')
  })

  it('and beyond midnight gives no day’s limit twice', async () => {
    const fetch = make({ limits: { requests: 3, per: 'day' } })
    await fetch(ORIGIN)
    await whileWrong(fetch, 13 * HOUR)
    // Two of the three are gone, whichever day the clock had said.
    expect(fetch.pool.keys()[0]!.remaining).toBe(1)
    await fetch(ORIGIN)
    await expect(fetch(ORIGIN)).rejects.toMatchObject({ retryAt: new Date('2026-09-07') })
    await pass(12 * HOUR)
    expect(fetch.pool.keys()[0]!.remaining).toBe(3)
  })

  it.each(['day', 'month'] as const)('that is set into the next %s gives its limit at once', async per => {
    const fetch = make({ limits: { requests: 2, per } })
    await fetch(ORIGIN)
    await fetch(ORIGIN)
    await expect(fetch(ORIGIN)).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
    skew = (per === 'day' ? 1 : 31) * 24 * HOUR
    expect((await fetch(ORIGIN)).status).toBe(200)
    expect(fetch.pool.keys()[0]!.remaining).toBe(1)
  })

  it('stands still: a waiting call ends at maxWait, and windows go on', async () => {
    const fetch = make({ limits: { requests: 1, per: 200 }, maxWait: 100 })
    await fetch(ORIGIN)
    const { value } = { value: Date.now() }
    vi.mocked(Date.now).mockImplementation(() => value)
    const waiting = fetch(ORIGIN).catch(error => error.code)
    await pass(120)
    expect(await waiting).toBe('ERR_POOL_EXHAUSTED')
    await pass(200)
    expect((await fetch(ORIGIN)).status).toBe(200)
  })

  it('does not keep a stored response fresh for longer than it is', async () => {
    const fetch = make({ cache: true })
    let served = 0
    answer = () => new Response(String(++served), { headers: { 'cache-control': 'max-age=60' } })
    skew = 2 * HOUR
    await (await fetch(ORIGIN)).text()
    await pass(10)
    skew = 0
    expect(await (await fetch(ORIGIN)).text()).toBe('2')
    expect(await (await fetch(ORIGIN)).text()).toBe('2')
  })
})

it('time goes on where only timers and Date are faked', async () => {
  vi.useRealTimers()
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], now: NOON })
  const base = async () => new Response('ok')
  const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['a'], cache: false, limits: { requests: 1, per: '1m' } })
  await fetch(ORIGIN)
  const second = fetch(ORIGIN)
  await pass(62_000)
  expect((await second).status).toBe(200)
})

it('the clock for spans never goes back, whatever the system’s clock does', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -1e12, max: 1e12 }), { maxLength: 20 }), jumps => {
      const clock = systemClock()
      let before = clock.now()
      for (const jump of jumps) {
        skew = jump
        const now = clock.now()
        expect(now).toBeGreaterThanOrEqual(before)
        expect(now - before).toBeLessThan(1_000)
        before = now
      }
    }),
  )
})

describe('the end of a calendar day or month', () => {
  const ZONES = [
    'UTC',
    'America/Los_Angeles',
    'America/Santiago',
    'America/Havana',
    'Atlantic/Azores',
    'Asia/Kolkata',
    'Pacific/Apia',
    'Africa/Cairo',
    'Asia/Beirut',
    'Pacific/Kiritimati',
  ]

  it.each([
    ['America/Santiago', '2026-09-06T03:00:00Z', '2026-09-06T04:00:00Z'],
    ['America/Santiago', '2026-09-05T04:30:00Z', '2026-09-06T04:00:00Z'],
    ['America/Havana', '2026-03-08T03:59:59.5Z', '2026-03-08T05:00:00Z'],
    ['Atlantic/Azores', '2026-03-28T12:00:00Z', '2026-03-29T01:00:00Z'],
    ['Europe/Berlin', '2026-03-28T22:59:59Z', '2026-03-28T23:00:00Z'],
    ['Pacific/Apia', '2011-12-30T09:59:59Z', '2011-12-30T10:00:00Z'],
  ])('in %s at %s is %s', (zone, at, end) => {
    expect(new Date(endOfCalendarWindow(Date.parse(at), 'day', zone))).toEqual(new Date(end))
  })

  it.each([
    ['hour', 'Asia/Kolkata', '2026-09-06T12:15:00Z', '2026-09-06T12:30:00Z'],
    ['hour', 'UTC', '2026-09-06T12:00:00Z', '2026-09-06T13:00:00Z'],
    ['hour', 'America/New_York', '2026-11-01T05:59:59.999Z', '2026-11-01T06:00:00Z'],
    ['week', 'UTC', '2026-09-06T12:00:00Z', '2026-09-07T00:00:00Z'],
    ['week', 'UTC', '2026-09-07T00:00:00Z', '2026-09-14T00:00:00Z'],
    ['week', 'Europe/Berlin', '2026-10-24T12:00:00Z', '2026-10-25T23:00:00Z'],
    ['month', 'Asia/Tokyo', '2026-12-31T14:59:59Z', '2026-12-31T15:00:00Z'],
  ] as const)('of a %s in %s at %s is %s', (per, zone, at, end) => {
    expect(new Date(endOfCalendarWindow(Date.parse(at), per, zone))).toEqual(new Date(end))
  })

  it('is the first moment that bears another date, in any zone, at any moment', () => {
    const dateIn = (zone: string) => {
      const format = new Intl.DateTimeFormat('en-CA', {
        timeZone: zone,
        year: 'numeric',
        month: '2-digit',
        day: '2-digit',
      })
      return (at: number) => format.format(at)
    }
    fc.assert(
      fc.property(
        fc.constantFrom(...ZONES),
        fc.constantFrom('day' as const, 'month' as const),
        fc.integer({ min: Date.UTC(2000, 0), max: Date.UTC(2040, 0) }),
        (zone, per, at) => {
          const period = (moment: number) => dateIn(zone)(moment).slice(0, per === 'day' ? 10 : 7)
          const end = endOfCalendarWindow(at, per, zone)
          expect(end).toBeGreaterThan(at)
          expect(period(end - 1)).toBe(period(at))
          expect(period(end)).not.toBe(period(at))
        },
      ),
      { numRuns: 300 },
    )
  })
})
