import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readBody } from '../../src/signals/body-facts.js'
import { classify, needsBody } from '../../src/signals/classify.js'
import { PROVIDERS } from '../../src/signals/providers/index.js'
import { parseRateLimitField } from '../../src/signals/rate-limit-field.js'
import { readTextHint } from '../../src/signals/text-hint.js'
import { LONGEST_WAIT, parseMilliseconds, parseWhen } from '../../src/signals/when.js'

const NOW = Date.UTC(2026, 8, 6, 12)

describe('a moment or a span', () => {
  it.each([
    ['30', 30_000],
    ['2.0', 2_000],
    ['0.25', 250],
    ['0', 0],
    ['1788696090', 90_000],
    ['1788696064.570', 64_570],
    ['1788696090000', 90_000],
    ['1788695000', 0],
    ['6m0s', 360_000],
    ['2m59.56s', 179_560],
    ['12ms', 12],
    ['34.07s', 34_070],
    ['34.074824224s', 34_075],
    ['1h30m', 5_400_000],
    ['1d', 86_400_000],
    ['12:34:56', 45_296_000],
    ['00:00:00.033', 33],
    ['Sun, 06 Sep 2026 12:01:30 GMT', 90_000],
    ['Sunday, 06-Sep-26 12:01:30 GMT', 90_000],
    ['Sun Sep  6 12:01:30 2026', 90_000],
    ['2026-09-06T12:00:12Z', 12_000],
    ['2026-09-06T14:02+02:00', 120_000],
    ['99999999999999999999', LONGEST_WAIT],
  ])('%s', (text, wait) => {
    expect(parseWhen(text, NOW)).toBe(wait)
  })

  it.each([
    '',
    ' ',
    '-5',
    '+5',
    'soon',
    'NaN',
    'Infinity',
    '1e9',
    '0x10',
    '5 apples',
    's',
    '6s0m',
    '6s6s',
    '6m0',
    '25:61:00',
    '2026-13-01T00:00:00Z',
    '2026-09-06',
    '1,5',
    '30, 40',
    'Sun, 31 Feb 2026 12:00:00 GMT',
  ])('is not %j', text => {
    expect(parseWhen(text, NOW)).toBeUndefined()
  })

  it('in milliseconds counts in them, whatever its size', () => {
    expect(parseMilliseconds('1400')).toBe(1_400)
    expect(parseMilliseconds('0.4')).toBe(1)
    expect(parseMilliseconds('1788696090000')).toBe(LONGEST_WAIT)
    expect(parseMilliseconds('soon')).toBeUndefined()
  })
})

describe('a message', () => {
  it.each([
    ['Please try again in 1.4s. Visit …', 1_400],
    ['Please try again in 9m38.016s. Need more?', 578_016],
    ['try again in 6.780999999s', 6_781],
    ['Please try again in 120ms', 120],
    ['Please retry after 60 seconds.', 60_000],
    ['Please retry in 34.074824224s.', 34_075],
    ['retry in 2 minutes', 120_000],
    ['You must wait 1 hour and 30 minutes', 5_400_000],
    ['Rate limit is exceeded. Try again in 2 seconds.', 2_000],
    ['Expected available in 3 seconds.', 3_000],
    ['Quota will be replenished in 12:34:56.', 45_296_000],
    ['IP banned until 1788699393000. Please use', 3_393_000],
    ['You will regain access on 2026-10-01 at 00:00 UTC.', 2_116_800_000],
    ['Limit resets at 2026-09-06T12:05:00Z', 300_000],
    ['Your quota resets in 3 days', 259_200_000],
  ])('%s', (text, wait) => {
    expect(readTextHint(text, NOW)).toBe(wait)
  })

  it.each([
    'Please wait a few minutes before you try again.',
    'Limited to 20 API calls / minute.',
    '100 requests over a 24 hour period',
    'Try again later',
    'retry after upgrading to 3 seats',
    'Sent at 2020-01-01',
    '',
  ])('says nothing of when in %j', text => {
    expect(readTextHint(text, NOW)).toBeUndefined()
  })
})

describe('whatever a server sends', () => {
  const piece = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.integer().map(String),
    fc.double().map(String),
    fc.constantFrom(
      ...[
        '{"error":',
        '}',
        '[',
        'retry_after',
        '"retryDelay":"',
        '1e999',
        '-1',
        'limit: 0',
        'try again in ',
        's',
        'ms',
        'h',
      ],
      ...[
        'per day',
        'quota exceeded',
        'rate limit',
        ';r=0;t=',
        '"default"',
        'Infinity',
        '2026-09-06T12:00:00Z',
        '::',
        ',',
      ],
    ),
  )
  const text = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map(parts => parts.join('')),
    fc.json({ maxDepth: 8 }),
    fc
      .record({ error: fc.record({ retry_after: fc.anything(), code: fc.anything(), message: fc.string() }) })
      .map(value => {
        try {
          return JSON.stringify(value) ?? ''
        } catch {
          return String(value)
        }
      }),
  )
  const sane = (wait: number | undefined) =>
    wait === undefined || (Number.isInteger(wait) && wait >= 0 && wait <= LONGEST_WAIT)

  it('no parser throws, and none makes a wait that is negative, no number, or without end', () => {
    fc.assert(
      fc.property(text, fc.integer({ min: 0, max: 8.64e15 }), (value, now) => {
        expect(sane(parseWhen(value, now))).toBe(true)
        expect(sane(parseMilliseconds(value))).toBe(true)
        expect(sane(readTextHint(value, now))).toBe(true)
        expect(readBody(value, now).waits.every(sane)).toBe(true)
        for (const { remaining, reset } of parseRateLimitField(value)) {
          expect([remaining, reset].every(each => each === undefined || (Number.isFinite(each) && each >= 0))).toBe(
            true,
          )
        }
      }),
      { numRuns: 3_000 },
    )
  })

  it('no answer makes the classifier throw, with any provider or none', () => {
    const header = fc.constantFrom(
      ...[
        'retry-after',
        'retry-after-ms',
        'ratelimit',
        'ratelimit-policy',
        'x-ratelimit-remaining',
        'x-ratelimit-reset',
      ],
      ...[
        'date',
        'www-authenticate',
        'x-amzn-errortype',
        'x-ratelimit-scope',
        'x-hubspot-ratelimit-interval-milliseconds',
      ],
    )
    const provider = fc.constantFrom(undefined, ...Object.values(PROVIDERS))
    const status = fc.oneof(
      fc.constantFrom(200, 400, 401, 402, 403, 418, 422, 429, 500, 503, 529),
      fc.integer({ min: 200, max: 599 }),
    )
    fc.assert(
      fc.property(status, text, fc.array(fc.tuple(header, text)), provider, (code, body, pairs, each) => {
        const headers = new Headers({ 'content-type': 'application/json' })
        for (const [name, value] of pairs) headers.append(name, value.replace(/[^\t\x20-\x7e]/g, ''))
        const response = new Response([204, 205, 304].includes(code) ? null : body, { status: code, headers })
        const outcome = classify(response, needsBody(response, each) ? body : '', each, NOW)
        if ('wait' in outcome) expect(sane(outcome.wait)).toBe(true)
      }),
      { numRuns: 3_000 },
    )
  })

  it('a pattern never takes long, even over a body made for it', () => {
    for (const part of [
      'quota ',
      'a ',
      'key ',
      'exceeded ',
      'limit 1 ',
      '1s',
      'try again ',
      'api access auth ',
      '"result":"',
      ' {',
    ]) {
      const body = part.repeat(16_384 / part.length)
      for (const status of [200, 400, 401, 403, 429]) {
        for (const each of [undefined, ...Object.values(PROVIDERS)]) {
          const response = new Response(null, { status, headers: { 'content-type': 'text/html' } })
          // 1,950 readings of 16 KiB: what backtracks does not come to an end before the test's time is up.
          expect(classify(response, body, each, NOW).response).toBe(response)
        }
      }
    }
  })
})
