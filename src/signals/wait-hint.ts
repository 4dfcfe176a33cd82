import { parseHttpDate } from './http-date.js'
import { parseRateLimitField } from './rate-limit-field.js'
import { parseMilliseconds, parseWhen } from './when.js'

/** What a response's header fields say of when to come back. */
export interface HeaderHint {
  /** In milliseconds from now; 0: at once. */
  readonly wait: number
  /** Whether it was said outright (`Retry-After` and its kind), or follows from a limit of which nothing is left. */
  readonly from: 'retry-after' | 'reset'
}

/** The server's own time, by its `Date`: waits are measured against it, so that a wrong clock here does no harm. */
export function serverTime(headers: Headers, now: number): number {
  return parseHttpDate(headers.get('date') ?? '', now) ?? now
}

/**
 * How long a response's header fields ask to wait; `undefined` where they don't say, or nothing sensible.
 *
 * In this order: `retry-after-ms` and its kind; `Retry-After` (RFC 9110 section 10.2.3: seconds, decimal ones too, or
 * an HTTP-date); the policies of a `RateLimit` field, and the reset fields, of which nothing is left. A wait of zero
 * counts only where none of them says more.
 */
export function readHeaderHint(headers: Headers, now: number): HeaderHint | undefined {
  const serverNow = serverTime(headers, now)
  const outright = readMilliseconds(headers) ?? readRetryAfter(headers.get('retry-after'), serverNow)
  if (outright !== undefined && outright > 0) return { wait: outright, from: 'retry-after' }
  const reset = longest([...readPolicies(headers), ...readResets(headers, serverNow)])
  if (reset !== undefined && reset > 0) return { wait: reset, from: 'reset' }
  return outright === 0 ? { wait: 0, from: 'retry-after' } : undefined
}

/** Fields that count in milliseconds: of OpenAI and the SDKs that read it, Azure, and Amazon. */
const MILLISECONDS = ['retry-after-ms', 'x-ms-retry-after-ms', 'x-amz-retry-after']

function readMilliseconds(headers: Headers): number | undefined {
  for (const name of MILLISECONDS) {
    const value = headers.get(name)
    const wait = value === null ? undefined : parseMilliseconds(value)
    if (wait !== undefined) return wait
  }
  return undefined
}

function readRetryAfter(value: string | null, serverNow: number): number | undefined {
  if (value === null) return undefined
  // Sent twice, it comes as a list: the longest counts. A date has a comma of its own.
  const parts = /^[\d., ]+$/.test(value) ? value.split(',') : [value]
  return longest(parts.map(part => parseWhen(part, serverNow)))
}

/** The policies of the IETF's `RateLimit` field of which nothing is left. */
function readPolicies(headers: Headers): (number | undefined)[] {
  return ['ratelimit', 'beta-ratelimit'].flatMap(name =>
    parseRateLimitField(headers.get(name) ?? '')
      .filter(({ remaining, reset }) => remaining === 0 && reset !== undefined)
      .map(({ reset }) => parseWhen(String(reset), 0)),
  )
}

/**
 * The reset fields whose own `remaining` is 0: `x-ratelimit-remaining-requests` and `x-ratelimit-reset-requests`. Of
 * several windows in one field (`0, 1000` and `1, 1419704`), those whose own number is 0.
 */
function readResets(headers: Headers, serverNow: number): (number | undefined)[] {
  const waits: (number | undefined)[] = []
  for (const [name, value] of headers) {
    // Alone, on an answer that refuses, it can only mean the limit that was met.
    if (/rate-?limit-reset$/.test(name) && !headers.has(name.replace('reset', 'remaining'))) {
      waits.push(parseWhen(value, serverNow))
    }
    if (!name.includes('remaining')) continue
    const remaining = value.split(',')
    const resetName = name.replace('remaining', 'reset')
    const reset = headers.get(`${resetName}-after`) ?? headers.get(resetName) ?? headers.get(`${resetName}time`) ?? ''
    const resets = remaining.length > 1 ? reset.split(',') : [reset]
    remaining.forEach((left, index) => {
      if (/^\s*0+(\.0+)?\s*$/.test(left)) waits.push(parseWhen(resets[index] ?? '', serverNow))
    })
  }
  return waits
}

function longest(waits: readonly (number | undefined)[]): number | undefined {
  const known = waits.filter(wait => wait !== undefined)
  return known.length > 0 ? Math.max(...known) : undefined
}
