import { parseDuration } from '../duration.js'
import * as v from './valibot.js'

// In these files the message of a check says what was expected; what came is described beside it, never with a key in it.

export const object = <Entries extends v.ObjectEntries>(entries: Entries, expected: string) =>
  v.strictObject(entries, expected)
export const functionOf = <T>(expected: string) => v.custom<T>(value => typeof value === 'function', expected)
export const positiveInteger = v.pipe(
  v.number('a whole number above 0'),
  v.check(value => Number.isSafeInteger(value) && value > 0, 'a whole number above 0'),
)
export const wholeNumber = v.pipe(
  v.number('a whole number from 0'),
  v.check(value => Number.isSafeInteger(value) && value >= 0, 'a whole number from 0'),
)
export const positiveNumber = v.pipe(
  v.number('a number above 0'),
  v.check(value => Number.isFinite(value) && value > 0, 'a number above 0'),
)
export const DURATION = "a duration: milliseconds, or such as '250ms', '1s', '5m', '1h', '1d'"
export const duration = v.pipe(
  v.custom<number | string>(value => parseDuration(value) !== undefined, DURATION),
  v.transform(value => parseDuration(value)!),
)
export const positiveDuration = v.pipe(
  duration,
  v.check(value => value > 0, `${DURATION}, above 0`),
)
/** An array, or the one thing that would be in it. */
export const oneOrMany = <Schema extends v.GenericSchema>(schema: Schema, expected: string) =>
  v.lazy(value =>
    Array.isArray(value)
      ? v.array(schema, expected)
      : v.pipe(
          schema,
          v.transform(one => [one]),
        ),
  )

export const ORIGIN = "an http(s) origin without path or credentials, such as 'https://api.example.com'"
export const origin = v.pipe(
  v.string(ORIGIN),
  v.check(isOrigin, ORIGIN),
  v.transform(value => new URL(value).origin),
)
function isOrigin(value: string): boolean {
  if (!URL.canParse(value)) return false
  const url = new URL(value)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return false
  return url.href === `${url.origin}/` && !value.endsWith('?') && !value.endsWith('#')
}

const HEADER_NAME = 'a header name (letters, digits, hyphens)'
export const header = v.pipe(v.string(HEADER_NAME), v.regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, HEADER_NAME))
const FORMAT = "a format with '{key}' in it and nothing that a header cannot carry"
/** The characters that a header value cannot carry. */
export const UNSENDABLE = /[^\t\x20-\x7e\x80-\xff]/
const PATH = "a path with the key as one of its segments, such as '/v2/{key}'"
const path = v.pipe(
  v.string(PATH),
  v.check(text => /^\/(?:[^?#{}]*\/)?\{key\}(?:\/[^?#{}]*)?$/.test(text), PATH),
)
const AUTH = "'bearer', { header, format? }, { query }, { path } or a function"
export const auth = v.lazy((value): v.GenericSchema => {
  if (typeof value === 'function') return functionOf(AUTH)
  if (typeof value === 'object' && value !== null && 'query' in value) {
    return object({ query: v.pipe(v.string('a parameter name'), v.minLength(1, 'a parameter name')) }, AUTH)
  }
  if (typeof value === 'object' && value !== null && 'path' in value) {
    const paths = v.pipe(
      oneOrMany(path, PATH),
      v.check(list => (list as string[]).length > 0, PATH),
    )
    return object({ path: paths }, AUTH)
  }
  if (typeof value === 'object' && value !== null && 'header' in value) {
    const format = v.pipe(
      v.string(FORMAT),
      v.check(text => text.includes('{key}') && !UNSENDABLE.test(text), FORMAT),
    )
    return object({ header, format: v.optional(format) }, AUTH)
  }
  return v.literal('bearer', AUTH)
})

const TIME_ZONE = "an IANA time zone such as 'Europe/Berlin'"
export const timeZone = v.pipe(v.string(TIME_ZONE), v.check(isTimeZone, TIME_ZONE))
function isTimeZone(timeZone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone })
    return true
  } catch {
    // The only way there is to ask: the constructor throws for a name that it doesn't know.
    return false
  }
}

export const name = (expected: string) =>
  v.pipe(v.string(expected), v.minLength(1, expected), v.maxLength(200, expected))
