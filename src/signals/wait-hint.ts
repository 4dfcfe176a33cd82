import { parseHttpDate } from './http-date.js'

/** The least magnitudes that tell a moment from a span: seconds and milliseconds since the epoch. */
const EPOCH_SECONDS = 1e9
const EPOCH_MILLISECONDS = 1e11

/**
 * How long a response asks to wait, in milliseconds from now; `undefined` where it doesn't say, or nothing sensible.
 *
 * In this order: `retry-after-ms`; `Retry-After` (RFC 9110 section 10.2.3: seconds, decimal ones too, or an HTTP-date);
 * a reset field whose own `remaining` is 0. Moments are read against the response's own `Date`, so that a wrong clock
 * here does no harm. Zero, negative and past values say nothing: whoever sends one is refusing all the same.
 */
export function readWait(headers: Headers, now: number): number | undefined {
  const serverNow = parseHttpDate(headers.get('date') ?? '', now) ?? now
  return (
    positive(Number(headers.get('retry-after-ms') ?? Number.NaN)) ??
    positive(Number(headers.get('x-ms-retry-after-ms') ?? Number.NaN)) ??
    readRetryAfter(headers.get('retry-after'), serverNow) ??
    readResets(headers, serverNow)
  )
}

function readRetryAfter(value: string | null, serverNow: number): number | undefined {
  if (value === null) return undefined
  // Sent twice, it comes as a list: the longest counts. A date has a comma of its own.
  const parts = /^[\d., ]+$/.test(value) ? value.split(',') : [value]
  const waits = parts.map(part => readSpanOrMoment(part.trim(), serverNow)).filter(wait => wait !== undefined)
  return waits.length > 0 ? Math.max(...waits) : undefined
}

/** The longest of the reset fields whose own `remaining` is 0: `x-ratelimit-remaining-requests` and `x-ratelimit-reset-requests`. */
function readResets(headers: Headers, serverNow: number): number | undefined {
  let longest: number | undefined
  for (const [name, value] of headers) {
    if (!name.includes('remaining') || !/^\s*0+(\.0+)?\s*$/.test(value)) continue
    const wait = readSpanOrMoment((headers.get(name.replace('remaining', 'reset')) ?? '').trim(), serverNow)
    if (wait !== undefined && (longest === undefined || wait > longest)) longest = wait
  }
  return longest
}

function readSpanOrMoment(value: string, serverNow: number): number | undefined {
  if (/^\d+(\.\d*)?$/.test(value)) {
    const number = Number(value)
    if (number >= EPOCH_MILLISECONDS) return positive(number - serverNow)
    if (number >= EPOCH_SECONDS) return positive(number * 1000 - serverNow)
    return positive(number * 1000)
  }
  const span = readSpan(value)
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

function readRfc3339(value: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/i.test(value)) return undefined
  const time = Date.parse(value)
  return Number.isNaN(time) ? undefined : time
}

function positive(wait: number): number | undefined {
  return Number.isFinite(wait) && wait > 0 ? Math.ceil(wait) : undefined
}
