import { parseHttpDate } from './http-date.js'

/** The least magnitudes that tell a moment from a span: seconds and milliseconds since the epoch. */
export const EPOCH_SECONDS = 1e9
const EPOCH_MILLISECONDS = 1e11
/** No wait is longer: what says so is nonsense, or might as well say "never". In milliseconds. */
export const LONGEST_WAIT = 366 * 86_400_000

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * How far off a moment or span is that a server has written, in whole milliseconds from `serverNow`, rounded up;
 * 0 for what is past, and `undefined` for what is neither.
 *
 * A bare number is a span in seconds up to 10^9, a moment in seconds since the epoch up to 10^11, and one in
 * milliseconds from there on; a number with units is a span (`6m0s`, `34.07s`, `12ms`), so is `12:34:56`; dates are
 * those of HTTP (RFC 9110 section 5.6.7) and of RFC 3339.
 */
export function parseWhen(value: string, serverNow: number): number | undefined {
  const text = value.trim()
  if (/^\d{1,20}(\.\d*)?$/.test(text)) {
    const number = Number(text)
    if (number >= EPOCH_MILLISECONDS) return bounded(number - serverNow)
    if (number >= EPOCH_SECONDS) return bounded(number * 1000 - serverNow)
    return bounded(number * 1000)
  }
  const span = parseSpan(text) ?? parseTimespan(text)
  if (span !== undefined) return span
  const moment = parseHttpDate(text, serverNow) ?? parseRfc3339(text)
  return moment === undefined ? undefined : bounded(moment - serverNow)
}

/** The same for a value that counts in milliseconds: a number of them, or a span with units or colons. */
export function parseMilliseconds(value: string): number | undefined {
  const text = value.trim()
  return /^\d{1,20}(\.\d*)?$/.test(text) ? bounded(Number(text)) : (parseSpan(text) ?? parseTimespan(text))
}

/** A span with units, as Go and protobuf write it: `6m0s`, `2m59.56s`, `12ms`, `34.07s`, `1h30m`. In milliseconds. */
export function parseSpan(text: string): number | undefined {
  if (!/^(?:\d{1,12}(?:\.\d{1,12})?(?:ms|[dhms]))+$/.test(text)) return undefined
  let total = 0
  let before = Number.POSITIVE_INFINITY
  for (const [, number, unit] of text.matchAll(/(\d{1,12}(?:\.\d{1,12})?)(ms|[dhms])/g)) {
    const size = UNITS[unit!]!
    // The larger unit comes first, and each once.
    if (size >= before) return undefined
    before = size
    total += Number(number) * size
  }
  return bounded(total)
}

/** A span as clocks show it: `12:34:56`, `00:00:00.033`. In milliseconds. */
export function parseTimespan(text: string): number | undefined {
  const match = /^(\d{1,6}):([0-5]\d):([0-5]\d(?:\.\d{1,9})?)$/.exec(text)
  if (!match) return undefined
  return bounded((Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3])) * 1000)
}

/** Milliseconds since the epoch of an RFC 3339 date and time; the seconds may be missing, as in Jira's. */
export function parseRfc3339(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2})$/i.test(text)) return undefined
  const time = Date.parse(text.replace(' ', 'T'))
  return Number.isNaN(time) ? undefined : time
}

function bounded(wait: number): number {
  // Only what binary fractions have added is rounded away, not what the server has written.
  return Math.min(LONGEST_WAIT, Math.max(0, Math.ceil(Number(wait.toFixed(6)))))
}
