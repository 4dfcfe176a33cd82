import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseHttpDate } from '../../src/signals/http-date.js'
import { readHeaderHint } from '../../src/signals/wait-hint.js'
import { LONGEST_WAIT } from '../../src/signals/when.js'

const NOW = Date.UTC(2026, 8, 6, 12)
const wait = (headers: Record<string, string>, now = NOW) => readHeaderHint(new Headers(headers), now)?.wait

describe('how long a response asks to wait', () => {
  it.each<[string, Record<string, string>, number | undefined]>([
    ['seconds', { 'retry-after': '30' }, 30_000],
    ['decimal seconds', { 'retry-after': '0.25' }, 250],
    ['an IMF-fixdate', { 'retry-after': 'Sun, 06 Sep 2026 12:00:30 GMT' }, 30_000],
    ['an RFC 850 date', { 'retry-after': 'Sunday, 06-Sep-26 12:00:30 GMT' }, 30_000],
    ['an asctime date', { 'retry-after': 'Sun Sep  6 12:00:30 2026' }, 30_000],
    ['milliseconds', { 'retry-after-ms': '1400', 'retry-after': '2' }, 1_400],
    ['Azure’s milliseconds', { 'x-ms-retry-after-ms': '33' }, 33],
    ['a reset whose remaining is 0', { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '20' }, 20_000],
    [
      'a reset in epoch seconds',
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW / 1000 + 90) },
      90_000,
    ],
    [
      'a reset in epoch milliseconds',
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(NOW + 90_000) },
      90_000,
    ],
    [
      'a reset as a Go duration',
      { 'x-ratelimit-remaining-tokens': '0', 'x-ratelimit-reset-tokens': '6m0.5s' },
      360_500,
    ],
    [
      'a reset in milliseconds as a duration',
      { 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '12ms' },
      12,
    ],
    [
      'a reset as RFC 3339',
      { 'anthropic-ratelimit-requests-remaining': '0', 'anthropic-ratelimit-requests-reset': '2026-09-06T12:00:12Z' },
      12_000,
    ],
    [
      'the longest of the resets that count',
      { 'a-remaining': '0', 'a-reset': '5', 'b-remaining': '0', 'b-reset': '9', 'c-remaining': '3', 'c-reset': '99' },
      9_000,
    ],
    ['no reset while something remains', { 'x-ratelimit-remaining': '7', 'x-ratelimit-reset': '20' }, undefined],
    [
      'Retry-After before a reset',
      { 'retry-after': '3', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '20' },
      3_000,
    ],
    ['a field that was sent twice', { 'retry-after': '30, 40' }, 40_000],
    [
      'policies of the RateLimit field that have run out',
      { ratelimit: '"permin";r=0;t=12, "perhr";r=812;t=1800' },
      12_000,
    ],
    ['the longest of them', { ratelimit: '"permin";r=0;t=12, "perhr";r=0;t=1800' }, 1_800_000],
    ['its older form', { ratelimit: 'limit=10, remaining=0, reset=10' }, 10_000],
    ['no policy while something remains', { ratelimit: '"default";r=1;t=7' }, undefined],
    ['no policy that is malformed', { ratelimit: 'quota;;t=' }, undefined],
    [
      'the separate fields of the first drafts',
      { 'ratelimit-limit': '100', 'ratelimit-remaining': '0', 'ratelimit-reset': '48' },
      48_000,
    ],
    [
      'Discord’s decimal seconds',
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '1788696064.5', 'x-ratelimit-reset-after': '64.5' },
      64_500,
    ],
    [
      'the window of a list that has run out',
      { 'x-ratelimit-remaining': '0, 1000', 'x-ratelimit-reset': '1, 1419704' },
      1_000,
    ],
    [
      'the other window of that list',
      { 'x-ratelimit-remaining': '1, 0', 'x-ratelimit-reset': '1, 1419704' },
      1_419_704_000,
    ],
    [
      'a reset as an HTTP-date',
      { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': 'Sun, 06 Sep 2026 12:05:00 GMT' },
      300_000,
    ],
    ['a timespan', { 'x-ms-retry-after-ms': '00:00:00.033' }, 33],
    ['Amazon’s milliseconds', { 'x-amz-retry-after': '5000' }, 5_000],
    ['nothing', {}, undefined],
    ['zero: at once', { 'retry-after': '0' }, 0],
    ['the past: at once', { 'retry-after': 'Sun, 06 Sep 2026 11:00:00 GMT' }, 0],
    [
      'zero beside a reset that says more',
      { 'retry-after': '0', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '9' },
      9_000,
    ],
    ['a moment where a span belongs', { 'retry-after': '1788696060' }, 60_000],
    ['a wait without end', { 'retry-after': '99999999999999999999' }, 31_622_400_000],
    ['nonsense', { 'retry-after': 'soon' }, undefined],
    ['a negative number', { 'retry-after': '-5' }, undefined],
    ['a number with an exponent', { 'retry-after': '1e3' }, undefined],
  ])('is read from %s', (_, headers, expected) => {
    expect(wait(headers)).toBe(expected)
  })

  it('is measured against the response’s own Date, so that a wrong clock does no harm', () => {
    const headers = { date: 'Sun, 06 Sep 2026 12:00:00 GMT', 'retry-after': 'Sun, 06 Sep 2026 12:00:30 GMT' }
    expect(wait(headers, NOW + 3_600_000)).toBe(30_000)
    expect(wait(headers, NOW - 3_600_000)).toBe(30_000)
  })

  it('is never negative, NaN or infinite, and reading it never throws', () => {
    const value = fc.oneof(
      fc.string(),
      fc.integer().map(String),
      fc.double().map(String),
      fc.date({ noInvalidDate: true }).map(date => date.toUTCString()),
    )
    const name = fc.constantFrom(
      'retry-after',
      'retry-after-ms',
      'date',
      'x-ratelimit-reset',
      'x-ratelimit-remaining',
      'ratelimit',
    )
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value)), fc.integer({ min: 0, max: 8e15 }), (pairs, now) => {
        const headers = new Headers()
        for (const [each, text] of pairs) {
          try {
            headers.append(each, text)
          } catch {}
        }
        const read = readHeaderHint(headers, now)?.wait
        if (read !== undefined) expect(read >= 0 && read <= LONGEST_WAIT).toBe(true)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('an HTTP-date', () => {
  it.each([
    ['Sun, 31 Feb 2026 12:00:00 GMT'],
    ['Sun, 06 Sep 2026 25:00:00 GMT'],
    ['2026-09-06T12:00:00Z'],
    ['Sun, 06 Sep 2026 12:00:00 +0200'],
    ['Sun, 6 Sep 2026 12:00:00 GMT'],
    [''],
  ])('is not %j', text => {
    expect(parseHttpDate(text, NOW)).toBeUndefined()
  })

  it('with two digits for the year is not more than 50 years ahead', () => {
    expect(parseHttpDate('Sunday, 06-Nov-94 08:49:37 GMT', NOW)).toBe(Date.UTC(1994, 10, 6, 8, 49, 37))
    expect(parseHttpDate('Sunday, 06-Nov-40 08:49:37 GMT', NOW)).toBe(Date.UTC(2040, 10, 6, 8, 49, 37))
  })
})
