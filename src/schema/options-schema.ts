import { CALENDAR_PERIODS } from '../calendar.js'
import { parseDuration } from '../duration.js'
import {
  auth,
  DURATION,
  duration,
  functionOf,
  name,
  ORIGIN,
  object,
  oneOrMany,
  positiveDuration,
  positiveInteger,
  positiveNumber,
  timeZone,
  wholeNumber,
} from './parts.js'
import { limitedBy, origins, provider } from './provider-schema.js'
import * as v from './valibot.js'

const limit = v.pipe(
  object(
    {
      requests: v.optional(positiveInteger),
      tokens: v.optional(positiveInteger),
      per: v.optional(
        v.lazy(value =>
          (CALENDAR_PERIODS as readonly unknown[]).includes(value)
            ? v.picklist(CALENDAR_PERIODS)
            : v.pipe(
                v.custom<number | string>(
                  each => (parseDuration(each) ?? 0) >= 1,
                  `${DURATION}, at least 1ms; or 'hour', 'week', 'day' or 'month'`,
                ),
                v.transform(each => parseDuration(each)!),
              ),
        ),
      ),
      timeZone: v.optional(timeZone),
      burst: v.optional(positiveInteger),
      concurrency: v.optional(positiveInteger),
      cost: v.optional(functionOf<(request: Request) => number>('a function that gives the tokens of a request')),
      settle: v.optional(v.boolean('true or false')),
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
    "'timeZone' only beside per: 'hour', 'week', 'day' or 'month'",
  ),
  v.check(
    each =>
      each.burst === undefined ||
      (typeof each.per === 'number' && (each.requests === undefined) !== (each.tokens === undefined)),
    "'burst' only beside a sliding 'per' and one of requests and tokens",
  ),
  v.check(each => each.cost === undefined || each.tokens !== undefined, "'cost' only beside tokens"),
  v.check(each => each.settle === undefined || each.tokens !== undefined, "'settle' only beside tokens"),
)
const limits = oneOrMany(limit, 'a limit, or an array of limits')

const VALUE = 'a key: a string that is not empty'
const KEY_ID = 'a name of 1 to 200 characters'
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
            expiresAt: v.optional(v.custom<Date>(isDate, 'a Date')),
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
      budget: v.optional(v.lazy((each): v.GenericSchema => (each === false ? v.literal(false) : wholeNumber))),
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
      tenants: v.optional(v.picklist(['pool', 'group'], "'pool' or 'group'")),
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

/** Of whichever realm. */
function isDate(value: unknown): boolean {
  return Object.prototype.toString.call(value) === '[object Date]'
}

function isLogger(value: unknown): boolean {
  const logger = value as Record<string, unknown> | null
  const isThing = (typeof logger === 'object' && logger !== null) || typeof logger === 'function'
  return isThing && ['debug', 'info', 'warn', 'error'].every(level => typeof logger[level] === 'function')
}

function isSharing(value: unknown): boolean {
  return typeof value === 'object' && typeof (value as { join?: unknown } | null)?.join === 'function'
}

function isStore(value: unknown): boolean {
  const store = value as Record<string, unknown> | null
  return typeof store === 'object' && ['get', 'set', 'delete'].every(method => typeof store?.[method] === 'function')
}

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
    hideKeys: v.optional(v.boolean('true or false')),
    hideRateLimitHeaders: v.optional(v.boolean('true or false')),
    replay: v.optional(object({ maxBytes: v.optional(wholeNumber) }, '{ maxBytes? }')),
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
    sharing: v.optional(v.custom(isSharing, "what redisSharing() of 'fetch-keypool/redis' makes")),
    onExhausted: v.optional(v.picklist(['throw', 'respond'], "'throw' or 'respond'")),
    timeout: v.optional(
      v.lazy(
        (value): v.GenericSchema =>
          typeof value === 'object' && value !== null
            ? object(
                {
                  attempt: v.optional(positiveDuration),
                  total: v.optional(positiveDuration),
                  body: v.optional(positiveDuration),
                },
                `${DURATION}, or { attempt, total, body }`,
              )
            : positiveDuration,
      ),
    ),
  },
  'options',
)
export const keysSchema = keys
export const keySchema = key
