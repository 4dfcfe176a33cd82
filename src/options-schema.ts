import * as v from 'valibot'
import { describe, describeKind } from './describe.js'
import { parseDuration } from './duration.js'
import { InvalidOptionError } from './errors.js'
import { PROVIDERS } from './signals/providers/index.js'

// In this file the message of a check says what was expected; what came is described beside it, never with a key in it.

const object = <Entries extends v.ObjectEntries>(entries: Entries, expected: string) =>
  v.strictObject(entries, expected)
const functionOf = <T>(expected: string) => v.custom<T>(value => typeof value === 'function', expected)
const positiveInteger = v.pipe(
  v.number('a whole number above 0'),
  v.check(value => Number.isSafeInteger(value) && value > 0, 'a whole number above 0'),
)
const positiveNumber = v.pipe(
  v.number('a number above 0'),
  v.check(value => Number.isFinite(value) && value > 0, 'a number above 0'),
)
const DURATION = "a duration: milliseconds, or such as '250ms', '1s', '5m', '1h', '1d'"
const duration = v.pipe(
  v.custom<number | string>(value => parseDuration(value) !== undefined, DURATION),
  v.transform(value => parseDuration(value)!),
)
const positiveDuration = v.pipe(
  duration,
  v.check(value => value > 0, `${DURATION}, above 0`),
)
/** An array, or the one thing that would be in it. */
const oneOrMany = <Schema extends v.GenericSchema>(schema: Schema, expected: string) =>
  v.lazy(value =>
    Array.isArray(value)
      ? v.array(schema, expected)
      : v.pipe(
          schema,
          v.transform(one => [one]),
        ),
  )

const ORIGIN = "an http(s) origin without path or credentials, such as 'https://api.example.com'"
const origin = v.pipe(
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
const header = v.pipe(v.string(HEADER_NAME), v.regex(/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/, HEADER_NAME))
const FORMAT = "a format with '{key}' in it and nothing that a header cannot carry"
/** The characters that a header value cannot carry. */
const UNSENDABLE = /[^\t\x20-\x7e\x80-\xff]/
const PATH = "a path with the key as one of its segments, such as '/v2/{key}'"
const path = v.pipe(
  v.string(PATH),
  v.check(text => /^\/(?:[^?#{}]*\/)?\{key\}(?:\/[^?#{}]*)?$/.test(text), PATH),
)
const AUTH = "'bearer', { header, format? }, { query }, { path } or a function"
const auth = v.lazy((value): v.GenericSchema => {
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
const timeZone = v.pipe(v.string(TIME_ZONE), v.check(isTimeZone, TIME_ZONE))
const limit = v.pipe(
  object(
    {
      requests: v.optional(positiveInteger),
      tokens: v.optional(positiveInteger),
      per: v.optional(
        v.lazy(value =>
          value === 'day' || value === 'month'
            ? v.picklist(['day', 'month'])
            : v.pipe(
                v.custom<number | string>(
                  each => (parseDuration(each) ?? 0) >= 1,
                  `${DURATION}, at least 1ms; or 'day' or 'month'`,
                ),
                v.transform(each => parseDuration(each)!),
              ),
        ),
      ),
      timeZone: v.optional(timeZone),
      burst: v.optional(positiveInteger),
      concurrency: v.optional(positiveInteger),
      cost: v.optional(functionOf<(request: Request) => number>('a function that gives the tokens of a request')),
    },
    'a limit: { requests, per }, { tokens, per, cost }, { concurrency }, or several of them in an array',
  ),
  v.check(
    each => each.requests !== undefined || each.tokens !== undefined || each.concurrency !== undefined,
    'requests, tokens or concurrency in a limit',
  ),
  v.check(
    each => (each.requests === undefined && each.tokens === undefined) || each.per !== undefined,
    "'per' beside requests or tokens",
  ),
  v.check(
    each => each.per === undefined || each.requests !== undefined || each.tokens !== undefined,
    "requests or tokens beside 'per'",
  ),
  v.check(
    each => each.timeZone === undefined || typeof each.per === 'string',
    "'timeZone' only beside per: 'day' or 'month'",
  ),
  v.check(
    each =>
      each.burst === undefined ||
      (typeof each.per === 'number' && (each.requests === undefined) !== (each.tokens === undefined)),
    "'burst' only beside a sliding 'per' and one of requests and tokens",
  ),
  v.check(each => each.cost === undefined || each.tokens !== undefined, "'cost' only beside tokens"),
)
const limits = oneOrMany(limit, 'a limit, or an array of limits')

function isTimeZone(timeZone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone })
    return true
  } catch {
    // The only way there is to ask: the constructor throws for a name that it doesn't know.
    return false
  }
}

const VALUE = 'a key: a string that is not empty'
const KEY_ID = 'a name of 1 to 200 characters'
const name = (expected: string) => v.pipe(v.string(expected), v.minLength(1, expected), v.maxLength(200, expected))
const key = v.pipe(
  v.lazy(value =>
    typeof value === 'string'
      ? v.pipe(
          v.string(),
          v.transform(each => ({ value: each })),
        )
      : object(
          {
            value: v.string(VALUE),
            id: v.optional(name(KEY_ID)),
            group: v.optional(name(KEY_ID)),
            weight: v.optional(positiveNumber),
            priority: v.optional(v.pipe(v.number('a number'), v.finite('a number'))),
            limits: v.optional(limits),
            expiresAt: v.optional(v.date('a Date')),
            baseUrl: v.optional(
              v.pipe(
                v.string('an http(s) URL without query, hash or credentials'),
                v.check(isBaseUrl, 'an http(s) URL without query, hash or credentials'),
              ),
            ),
            tags: v.optional(v.array(name('words'), 'words in an array')),
          },
          'a key: a string, or { value, id, … }',
        ),
  ),
)
const keys = v.array(key, 'keys in an array')

function isBaseUrl(value: string): boolean {
  if (!URL.canParse(value)) return false
  const { protocol, search, hash, username, password } = new URL(value)
  return (protocol === 'http:' || protocol === 'https:') && !search && !hash && !username && !password
}

const METHOD = "a method such as 'PUT'"
const retry = v.lazy((value): v.GenericSchema => {
  if (value === false) return v.literal(false)
  const retries = v.pipe(
    v.number('a whole number from 0'),
    v.check(each => Number.isSafeInteger(each) && each >= 0, 'a whole number from 0'),
  )
  if (typeof value !== 'object' || value === null) {
    return v.pipe(
      v.custom<number>(each => typeof each === 'number', 'a number of retries, options, or false'),
      retries,
    )
  }
  return object(
    {
      retries: v.optional(retries),
      methods: v.optional(v.array(v.pipe(v.string(METHOD), v.regex(/^[A-Za-z]+$/, METHOD)), 'methods in an array')),
      statuses: v.optional(
        v.array(
          v.pipe(
            v.number('a status from 400'),
            v.check(each => Number.isInteger(each) && each >= 400 && each < 1000, 'a status from 400'),
          ),
          'statuses in an array',
        ),
      ),
      minDelay: v.optional(duration),
      maxDelay: v.optional(duration),
      factor: v.optional(
        v.pipe(
          v.number('a number from 1'),
          v.check(each => Number.isFinite(each) && each >= 1, 'a number from 1'),
        ),
      ),
      shouldRetry: v.optional(functionOf('a function')),
    },
    'a number of retries, options, or false',
  )
})

const cache = v.lazy((value): v.GenericSchema => {
  if (typeof value !== 'object' || value === null) return v.boolean('true, false or options')
  return object(
    {
      ttl: v.optional(duration),
      methods: v.optional(
        v.array(v.picklist(['GET', 'HEAD', 'POST'], "'GET', 'HEAD' or 'POST'"), 'methods in an array'),
      ),
      only: v.optional(functionOf('a function')),
      store: v.optional(v.custom(isStore, 'a store with get, set and delete')),
      maxBytes: v.optional(positiveInteger),
      maxEntries: v.optional(positiveInteger),
      maxBodyBytes: v.optional(positiveInteger),
      staleWhileRevalidate: v.optional(duration),
      staleIfError: v.optional(duration),
    },
    'true, false or options',
  )
})

const share = v.pipe(
  v.number('a share from 0 to 1'),
  v.check(each => each >= 0 && each <= 1, 'a share from 0 to 1'),
)

function isLogger(value: unknown): boolean {
  const logger = value as Record<string, unknown> | null
  const isThing = (typeof logger === 'object' && logger !== null) || typeof logger === 'function'
  return isThing && ['debug', 'info', 'warn', 'error'].every(level => typeof logger[level] === 'function')
}

function isStore(value: unknown): boolean {
  const store = value as Record<string, unknown> | null
  return typeof store === 'object' && ['get', 'set', 'delete'].every(method => typeof store?.[method] === 'function')
}

const SCOPES = ['key', 'model', 'route'] as const
const SCOPE = `${SCOPES.map(each => `'${each}'`).join(', ')} or a function`
const limitedBy = v.lazy(
  (value): v.GenericSchema => (typeof value === 'function' ? functionOf(SCOPE) : v.picklist(SCOPES, SCOPE)),
)
const origins = (expected: string) =>
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
const provider = v.lazy((value): v.GenericSchema => {
  if (typeof value !== 'object' || value === null) return v.picklist(Object.keys(PROVIDERS), PROVIDER)
  return object(
    {
      name: name('a name of 1 to 200 characters'),
      origins: v.optional(origins(`${ORIGIN}, or several in an array`)),
      auth: v.optional(auth),
      headers: v.optional(v.record(header, v.string('a value'), 'header fields with their values')),
      scope: v.optional(limitedBy),
      limitScope: v.optional(reach),
      signals: v.optional(v.array(signal, 'signals in an array')),
      fields: v.optional(v.array(fields, 'fields in an array')),
    },
    PROVIDER,
  )
})

const STRATEGIES = ['least-loaded', 'round-robin', 'weighted', 'fill-first', 'random'] as const
const STRATEGY = `${STRATEGIES.map(each => `'${each}'`).join(', ')} or a function`

export const optionsSchema = object(
  {
    origins: v.optional(
      v.lazy(
        (value): v.GenericSchema =>
          value === '*' ? v.literal('*') : origins(`${ORIGIN}, several in an array, or '*'`),
      ),
    ),
    provider: v.optional(provider),
    scope: v.optional(limitedBy),
    keys: v.lazy(
      (value): v.GenericSchema =>
        typeof value === 'function'
          ? functionOf('keys in an array, or a function')
          : v.pipe(v.array(v.unknown(), 'keys in an array, or a function'), v.minLength(1, 'at least one key')),
    ),
    auth: v.optional(auth),
    limits: v.optional(limits),
    strategy: v.optional(
      v.lazy(
        (value): v.GenericSchema =>
          typeof value === 'function' ? functionOf(STRATEGY) : v.picklist(STRATEGIES, STRATEGY),
      ),
    ),
    retry: v.optional(retry),
    cache: v.optional(cache),
    maxWait: v.optional(duration),
    alert: v.optional(
      object(
        {
          remaining: v.optional(v.array(share, 'shares from 0 to 1 in an array')),
          ahead: v.optional(duration),
          quiet: v.optional(duration),
        },
        '{ remaining?, ahead?, quiet? }',
      ),
    ),
    logger: v.optional(v.custom(isLogger, 'a logger with debug, info, warn and error')),
    onExhausted: v.optional(v.picklist(['throw', 'respond'], "'throw' or 'respond'")),
    timeout: v.optional(
      v.lazy(
        (value): v.GenericSchema =>
          typeof value === 'object' && value !== null
            ? object(
                { attempt: v.optional(positiveDuration), total: v.optional(positiveDuration) },
                `${DURATION}, or { attempt, total }`,
              )
            : positiveDuration,
      ),
    ),
  },
  'options',
)
export const keysSchema = keys
export const keySchema = key
export { UNSENDABLE }

/** No option has a longer name, and no way of authentication: longer words may be keys in a wrong place. */
const LONGEST_NAME = 24
const LONGEST_SCHEME = 12

/**
 * Checks a value against a schema.
 *
 * @param secrets - texts that no message may quote
 * @throws InvalidOptionError for the first thing that is wrong.
 */
export function check<Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
  at: string,
  secrets: readonly string[],
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value, { abortEarly: true })
  if (result.success) return result.output
  const issue = result.issues[0]
  const option = pathOf(issue, at)
  // A key of an object that the schema does not know: say which, and what there is.
  if (issue.expected === 'never') {
    // The name itself may be a key that stands in a wrong place.
    const name = String(issue.path?.at(-1)?.key ?? '')
    const hidden = name.length > LONGEST_NAME || !/^[A-Za-z_]+$/.test(name) || secrets.includes(name)
    throw new InvalidOptionError(
      hidden ? `${option.slice(0, -name.length)}…` : option,
      'no option of this name (a typing error?)',
      describeKind(issue.path?.at(-1)?.value),
    )
  }
  // An option that must be there and is not: what was expected is its name, in quotes.
  if (issue.type === 'strict_object' && issue.expected?.startsWith('"')) {
    throw new InvalidOptionError(option, 'to be given', 'nothing')
  }
  // Whatever stands among the keys may be one, in the right place or in a wrong one.
  const long = typeof issue.input === 'string' && issue.input.length > LONGEST_SCHEME
  const quotable = !/^keys?\b/.test(option) && !(option === 'auth' && long) && !isUrlWithPassword(issue.input)
  const received = !quotable ? describeKind(issue.input) : describe(issue.input, secrets)
  throw new InvalidOptionError(option, issue.message, received)
}

function isUrlWithPassword(value: unknown): boolean {
  return typeof value === 'string' && value.includes('@')
}

function pathOf(issue: v.BaseIssue<unknown>, at: string): string {
  let path = at
  for (const { key: part } of issue.path ?? []) {
    path += typeof part === 'number' ? `[${part}]` : path === '' ? String(part) : `.${String(part)}`
  }
  return path === '' ? 'options' : path
}
