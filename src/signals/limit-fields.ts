import { parseDuration } from '../duration.js'
import type { LimitFields, Provider } from './provider.js'
import { type PolicyState, parsePolicyField, parseRateLimitField } from './rate-limit-field.js'
import { parseMilliseconds, parseRfc3339, parseWhen } from './when.js'

/** What an answer tells of one limit. */
export interface LimitReading {
  /** The same for the same limit, from answer to answer. */
  readonly id: string
  readonly unit: 'requests' | 'tokens'
  readonly limit: number | undefined
  readonly remaining: number
  /** The window in milliseconds, where it is said. */
  readonly per: number | undefined
  /** When more is there, or all is. */
  readonly reset: Reset | undefined
}

/** A reset as it was written, which decides how exactly it is known. */
export type Reset =
  /** Milliseconds from the answer on; written in whole seconds (`coarse`), it may be up to one off. */
  | { readonly kind: 'span'; readonly wait: number; readonly coarse: boolean; readonly gradual: boolean }
  /** Milliseconds since the epoch by the server's clock. */
  | { readonly kind: 'moment'; readonly at: number; readonly gradual: boolean }

/**
 * What an answer's header fields tell of the limits: the IETF's fields of all drafts, and every family of `…limit…`,
 * `…remaining…` and `…reset…`, with the provider's own fields besides.
 *
 * A field whose number of what remains is missing tells nothing; nonsense is passed over.
 */
export function readLimits(headers: Headers, provider: Provider | undefined): LimitReading[] {
  const readings: LimitReading[] = []
  for (const fields of provider?.fields ?? []) {
    const reading = readOwn(headers, fields)
    if (reading) readings.push(reading)
  }
  const own = new Set(provider?.fields?.map(({ remaining }) => remaining.toLowerCase()))
  for (const [name, value] of headers) {
    if (FAMILY.test(name)) {
      if (!own.has(name)) readings.push(...readFamily(headers, name, value))
    } else if (name === 'ratelimit' || name === 'beta-ratelimit') readings.push(...readPolicies(headers, name, value))
  }
  return readings
}

/** Fields of what remains of a limit, and not of a trial or a subscription. */
const FAMILY = /^(?=.*remaining)(?=.*limit)/

const NUMBER = /^\s*(\d{1,15})(?:\.\d*)?\s*$/

function readFamily(headers: Headers, name: string, value: string): LimitReading[] {
  const remaining = value.split(',').map(count)
  const limitName = name.replace('remaining', 'limit')
  const limitField = headers.get(limitName) ?? ''
  const resetName = name.replace('remaining', 'reset')
  const resetField = headers.get(`${resetName}-after`) ?? headers.get(resetName) ?? ''
  const isList = remaining.length > 1
  const limits = limitField.split(',')
  const resets = isList ? resetField.split(',') : [resetField]
  const windows = windowsOf(headers, name)
  return remaining.flatMap((left, index) => {
    if (left === undefined) return []
    // "10, 10;w=1, 50;w=60": the first is the limit, the others are its policies.
    const limit = count((limits[index] ?? '').split(';')[0]!)
    const per = isList ? windows.get(limit ?? -1) : (windows.get(limit ?? -1) ?? nameOfWindow(name))
    const unit = /token/.test(name) ? 'tokens' : 'requests'
    return [
      {
        id: isList ? `${name} ${index}` : name,
        unit,
        limit,
        remaining: left,
        per,
        reset: readReset(resets[index] ?? ''),
      } as const,
    ]
  })
}

/** The windows that a list of policies names, by their quota: `100;w=60`, `1;w=1, 15000;w=2592000`. */
function windowsOf(headers: Headers, remainingName: string): Map<number, number> {
  const windows = new Map<number, number>()
  for (const name of [remainingName.replace('remaining', 'policy'), remainingName.replace('remaining', 'limit')]) {
    for (const part of (headers.get(name) ?? '').split(',')) {
      const match = /^\s*(\d{1,15})\s*;.*?\bw=(\d{1,10})\b/.exec(part)
      if (match) windows.set(Number(match[1]), Number(match[2]) * 1000)
    }
  }
  return windows
}

const NAMED: readonly [RegExp, number][] = [
  [/second/, 1_000],
  [/minute|minutely/, 60_000],
  [/hour/, 3_600_000],
  [/day|daily/, 86_400_000],
]

/** `x-ratelimit-remaining-minute` names its window itself. */
function nameOfWindow(name: string): number | undefined {
  return NAMED.find(([word]) => word.test(name))?.[1]
}

function readPolicies(headers: Headers, name: string, value: string): LimitReading[] {
  const policies = parsePolicyField(headers.get(`${name}-policy`) ?? '')
  return parseRateLimitField(value).flatMap((state: PolicyState, index) => {
    if (state.remaining === undefined) return []
    const policy = policies.find(each => each.name === state.name) ?? (policies.length === 1 ? policies[0] : undefined)
    if (policy?.unit !== undefined && policy.unit !== 'requests') return []
    const reset: Reset | undefined =
      state.reset === undefined ? undefined : { kind: 'span', wait: state.reset * 1000, coarse: true, gradual: false }
    const limit = policy?.quota ?? state.limit
    return [
      {
        id: `${name} ${state.name ?? index}`,
        unit: 'requests',
        limit,
        remaining: state.remaining,
        per: policy?.window,
        reset,
      } as const,
    ]
  })
}

function readOwn(headers: Headers, fields: LimitFields): LimitReading | undefined {
  const remaining = count(headers.get(fields.remaining) ?? '')
  if (remaining === undefined) return undefined
  const limit = typeof fields.limit === 'string' ? count(headers.get(fields.limit) ?? '') : fields.limit
  const { per } = fields
  const window =
    typeof per === 'object'
      ? (/milliseconds|-ms$/i.test(per.header) ? parseMilliseconds : secondsOf)(headers.get(per.header) ?? '')
      : parseDuration(per)
  const reset = fields.reset === undefined ? undefined : readReset(headers.get(fields.reset) ?? '')
  return { id: fields.remaining, unit: fields.unit, limit, remaining, per: window, reset }
}

function secondsOf(value: string): number | undefined {
  return parseWhen(value, 0)
}

/** A moment is told from a span as everywhere; see `parseWhen`. */
function readReset(value: string): Reset | undefined {
  const text = value.trim()
  const number = NUMBER.test(text) || /^\d{1,15}\.\d+$/.test(text) ? Number(text) : undefined
  if (number !== undefined) {
    if (number >= 1e11) return { kind: 'moment', at: number, gradual: false }
    if (number >= 1e9) return { kind: 'moment', at: number * 1000, gradual: false }
    return { kind: 'span', wait: number * 1000, coarse: !text.includes('.'), gradual: false }
  }
  const moment = parseRfc3339(text)
  // Who writes these mostly means the moment at which a bucket will be full again, not that at which more is there.
  if (moment !== undefined) return { kind: 'moment', at: moment, gradual: true }
  const wait = parseMilliseconds(text)
  if (wait !== undefined) return { kind: 'span', wait, coarse: false, gradual: true }
  const date = parseWhen(text, 0)
  return date === undefined || date === 0 ? undefined : { kind: 'moment', at: date, gradual: false }
}

function count(value: string): number | undefined {
  const match = NUMBER.exec(value)
  return match ? Number(match[1]) : undefined
}
