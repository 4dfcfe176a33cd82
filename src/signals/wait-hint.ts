import { parseHttpDate } from './http-date.js'
import { parseRateLimitField } from './rate-limit-field.js'

/** The least magnitudes that tell a moment from a span: seconds and milliseconds since the epoch. */
const EPOCH_SECONDS = 1e9
const EPOCH_MILLISECONDS = 1e11

/**
 * How long a response asks to wait, in milliseconds from now; `undefined` where it doesn't say, or nothing sensible.
 *
 * In this order: `retry-after-ms` and its kind; `Retry-After` (RFC 9110 section 10.2.3: seconds, decimal ones too, or an
 * HTTP-date); the policies of a `RateLimit` field, and the reset fields, of which nothing is left. Moments are read against the response's own `Date`, so that a wrong clock
 * here does no harm. Zero, negative and past values say nothing: whoever sends one is refusing all the same.
 */
export function readWait(headers: Headers, now: number): number | undefined {
  const serverNow = parseHttpDate(headers.get('date') ?? '', now) ?? now
  return (
    readMilliseconds(headers) ??
    readRetryAfter(headers.get('retry-after'), serverNow) ??
    longest([...readPolicies(headers), ...readResets(headers, serverNow)])
  )
}

/** Fields that count in milliseconds: of OpenAI and the SDKs that read it, Azure, and Amazon. */
const MILLISECONDS = ['retry-after-ms', 'x-ms-retry-after-ms', 'x-amz-retry-after']

function readMilliseconds(headers: Headers): number | undefined {
  for (const name of MILLISECONDS) {
    const value = headers.get(name)?.trim() ?? ''
    const wait = /^\d+(\.\d*)?$/.test(value) ? positive(Number(value)) : readTimespan(value)
    if (wait !== undefined) return wait
  }
  return undefined
}

/** The policies of the IETF's `RateLimit` field of which nothing is left. */
function readPolicies(headers: Headers): (number | undefined)[] {
  return ['ratelimit', 'beta-ratelimit'].flatMap(name =>
    parseRateLimitField(headers.get(name) ?? '')
      .filter(({ remaining, reset }) => remaining === 0 && reset !== undefined)
      .map(({ reset }) => positive(reset! * 1000)),
  )
}

function longest(waits: readonly (number | undefined)[]): number | undefined {
  const known = waits.filter(wait => wait !== undefined)
  return known.length > 0 ? Math.max(...known) : undefined
}

function readRetryAfter(value: string | null, serverNow: number): number | undefined {
  if (value === null) return undefined
  // Sent twice, it comes as a list: the longest counts. A date has a comma of its own.
  const parts = /^[\d., ]+$/.test(value) ? value.split(',') : [value]
  return longest(parts.map(part => readSpanOrMoment(part.trim(), serverNow)))
}

/**
 * The reset fields whose own `remaining` is 0: `x-ratelimit-remaining-requests` and `x-ratelimit-reset-requests`. Of
 * several windows in one field (`0, 1000` and `1, 1419704`), those whose own number is 0.
 */
function readResets(headers: Headers, serverNow: number): (number | undefined)[] {
  const waits: (number | undefined)[] = []
  for (const [name, value] of headers) {
    if (!name.includes('remaining')) continue
    const remaining = value.split(',')
    const resetName = name.replace('remaining', 'reset')
    const reset = headers.get(`${resetName}-after`) ?? headers.get(resetName) ?? ''
    const resets = remaining.length > 1 ? reset.split(',') : [reset]
    remaining.forEach((left, index) => {
      if (/^\s*0+(\.0+)?\s*$/.test(left)) waits.push(readSpanOrMoment((resets[index] ?? '').trim(), serverNow))
    })
  }
  return waits
}

function readSpanOrMoment(value: string, serverNow: number): number | undefined {
  if (/^\d+(\.\d*)?$/.test(value)) {
    const number = Number(value)
    if (number >= EPOCH_MILLISECONDS) return positive(number - serverNow)
    if (number >= EPOCH_SECONDS) return positive(number * 1000 - serverNow)
    return positive(number * 1000)
  }
  const span = readSpan(value) ?? readTimespan(value)
  if (span !== undefined) return positive(span)
  const moment = parseHttpDate(value, serverNow) ?? readRfc3339(value)
  return moment === undefined ? undefined : positive(moment - serverNow)
}

/** A span with units, as Go and protobuf write it: `6m0s`, `2m59.56s`, `12ms`, `34.07s`. */
function readSpan(value: string): number | undefined {
  const match =
    /^(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?$/.exec(
      value,
    )
  if (!match || value === '') return undefined
  const [, days = 0, hours = 0, minutes = 0, seconds = 0, milliseconds = 0] = match
  return (
    Number(days) * 86_400_000 +
    Number(hours) * 3_600_000 +
    Number(minutes) * 60_000 +
    Number(seconds) * 1000 +
    Number(milliseconds)
  )
}

/** A span as clocks show it: `12:34:56`, `00:00:00.033`. */
function readTimespan(value: string): number | undefined {
  const match = /^(\d+):(\d{2}):(\d{2}(?:\.\d+)?)$/.exec(value)
  if (!match) return undefined
  return positive((Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3])) * 1000)
}

function readRfc3339(value: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/i.test(value)) return undefined
  const time = Date.parse(value)
  return Number.isNaN(time) ? undefined : time
}

function positive(wait: number): number | undefined {
  return Number.isFinite(wait) && wait > 0 ? Math.ceil(wait) : undefined
}
