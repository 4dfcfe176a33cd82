import { parseDuration } from '../duration.js'
import { PROVIDERS } from '../signals/providers/index.js'
import {
  auth,
  functionOf,
  header,
  name,
  ORIGIN,
  object,
  oneOrMany,
  origin,
  positiveDuration,
  positiveInteger,
  timeZone,
} from './parts.js'
import * as v from './valibot.js'

const SCOPES = ['key', 'model', 'route'] as const
const SCOPE = `${SCOPES.map(each => `'${each}'`).join(', ')} or a function`
export const limitedBy = v.lazy(
  (value): v.GenericSchema => (typeof value === 'function' ? functionOf(SCOPE) : v.picklist(SCOPES, SCOPE)),
)
export const origins = (expected: string) =>
  v.pipe(
    oneOrMany(origin, expected),
    v.check(list => (list as string[]).length > 0, expected),
  )

const PATTERN = 'a word, a pattern, or several of them in an array'
const pattern = v.custom<string | RegExp>(value => typeof value === 'string' || value instanceof RegExp, PATTERN)
const status = v.pipe(
  v.number('a status'),
  v.check(value => Number.isInteger(value) && value >= 200 && value <= 599, 'a status from 200 to 599'),
)
const REACH = ['key', 'model', 'account', 'resource', 'address', 'provider'] as const
const reach = v.picklist(REACH, REACH.map(each => `'${each}'`).join(', '))
const MEANINGS = ['rate-limit', 'quota', 'overload', 'invalid-key', 'answer'] as const
const headerValues = v.record(v.string(), pattern, 'header fields with their values')
const WAIT = "a duration, { next: 'day' | 'month' }, { header } or a function"
const wait = v.lazy((value): v.GenericSchema => {
  if (typeof value === 'function') return functionOf(WAIT)
  if (typeof value !== 'object' || value === null) return v.custom(each => parseDuration(each) !== undefined, WAIT)
  if ('header' in value) return object({ header }, WAIT)
  return object({ next: v.picklist(['day', 'month'], WAIT), timeZone: v.optional(timeZone) }, WAIT)
})
const signal = object(
  {
    status: v.optional(oneOrMany(status, 'a status, or several in an array')),
    code: v.optional(oneOrMany(pattern, PATTERN)),
    text: v.optional(v.instance(RegExp, 'a pattern')),
    headers: v.optional(headerValues),
    means: v.picklist(MEANINGS, MEANINGS.map(each => `'${each}'`).join(', ')),
    scope: v.optional(reach),
    wait: v.optional(wait),
    hints: v.optional(v.boolean('true or false')),
  },
  'a signal: { status?, code?, text?, headers?, means, … }',
)
const per = v.lazy(
  (value): v.GenericSchema =>
    typeof value === 'object' && value !== null ? object({ header }, 'a duration or { header }') : positiveDuration,
)
const fields = object(
  {
    unit: v.picklist(['requests', 'tokens'], "'requests' or 'tokens'"),
    limit: v.optional(v.union([header, positiveInteger], 'a header name or a number')),
    remaining: header,
    reset: v.optional(header),
    per: v.optional(per),
  },
  'fields: { unit, remaining, limit?, reset?, per? }',
)
const PROVIDER = `a provider: { name, … }, or one of ${Object.keys(PROVIDERS).join(', ')}`
export const provider = v.lazy((value): v.GenericSchema => {
  if (typeof value !== 'object' || value === null) return v.picklist(Object.keys(PROVIDERS), PROVIDER)
  return object(
    {
      name: name('a name of 1 to 200 characters'),
      origins: v.optional(origins(`${ORIGIN}, or several in an array`)),
      auth: v.optional(auth),
      headers: v.optional(v.record(header, v.string('a value'), 'header fields with their values')),
      scope: v.optional(limitedBy),
      limitScope: v.optional(reach),
      resource: v.optional(limitedBy),
      signals: v.optional(v.array(signal, 'signals in an array')),
      errorShape: v.optional(functionOf('a function')),
      credentialParameters: v.optional(v.array(name('a name'), 'names in an array')),
      fields: v.optional(v.array(fields, 'fields in an array')),
    },
    PROVIDER,
  )
})
