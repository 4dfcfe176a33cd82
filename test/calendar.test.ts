import { describe, expect, it } from 'vitest'
import { endOfCalendarWindow } from '../src/calendar.js'

const end = (at: string, per: 'day' | 'month', zone: string) =>
  new Date(endOfCalendarWindow(Date.parse(at), per, zone)).toISOString()

describe('a calendar window ends', () => {
  it.each([
    ['2026-09-06T12:00:00Z', 'day', 'UTC', '2026-09-07T00:00:00.000Z'],
    ['2026-09-06T00:00:00Z', 'day', 'UTC', '2026-09-07T00:00:00.000Z'],
    ['2026-09-06T06:59:59Z', 'day', 'America/Los_Angeles', '2026-09-06T07:00:00.000Z'],
    ['2026-09-06T07:00:00Z', 'day', 'America/Los_Angeles', '2026-09-07T07:00:00.000Z'],
    ['2026-12-31T23:30:00Z', 'month', 'UTC', '2027-01-01T00:00:00.000Z'],
    ['2026-12-31T23:30:00Z', 'month', 'Asia/Tokyo', '2027-01-31T15:00:00.000Z'],
    ['2028-02-28T12:00:00Z', 'day', 'UTC', '2028-02-29T00:00:00.000Z'],
    // Summer time begins and ends: the day has 23 and 25 hours.
    ['2026-03-29T00:30:00Z', 'day', 'Europe/Berlin', '2026-03-29T22:00:00.000Z'],
    ['2026-10-24T23:00:00Z', 'day', 'Europe/Berlin', '2026-10-25T23:00:00.000Z'],
    ['2026-09-06T12:00:00Z', 'day', 'Asia/Kathmandu', '2026-09-06T18:15:00.000Z'],
  ] as const)('from %s, of a %s in %s, at %s', (from, per, zone, expected) => {
    expect(end(from, per, zone)).toBe(expected)
  })
})
