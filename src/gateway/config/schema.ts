import { check } from '../../schema/check.js'
import { duration, name, object, oneOrMany, positiveDuration, positiveInteger, timeZone } from '../../schema/parts.js'
import * as v from '../../schema/valibot.js'
import { isRange } from '../proxy/address.js'
import { parseBytes } from './bytes.js'
import { ALERT_EVENTS, type GatewayConfig } from './config.js'
import { splitKeys } from './secrets.js'

const ROUTE = "a path of one or more words, such as '/openai'"
const routePath = v.pipe(v.string(ROUTE), v.regex(/^(?:\/[A-Za-z0-9][\w.-]*)+$/, ROUTE))
const routes = v.array(routePath, 'routes in an array')
const words = (expected: string) => v.array(name(expected), `${expected}, in an array`)
const RANGE = "an address or a range of them, such as '10.0.0.0/8'"
const range = v.pipe(v.string(RANGE), v.check(isRange, RANGE))
const HASH = "'sha256:' and 64 hexadecimal digits"
const hash = v.pipe(v.string(HASH), v.regex(/^sha256:[0-9a-f]{64}$/i, HASH))
const MOMENT = 'a date, such as 2027-01-31'
const moment = v.custom<string | Date>(
  value => (typeof value === 'string' || value instanceof Date) && !Number.isNaN(new Date(value).getTime()),
  MOMENT,
)
const BYTES = "a number of bytes, or such as '64kb', '10mb'"
const bytes = v.custom<number | string>(value => parseBytes(value) !== undefined, BYTES)
const httpUrl = v.pipe(
  v.string('an http(s) URL'),
  v.check(value => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol), 'an http(s) URL'),
)
const by = v.optional(v.picklist(['caller', 'address', 'route', 'all'], "'caller', 'address', 'route' or 'all'"))
const share = v.pipe(
  v.number('a share from 0 to 1'),
  v.check(value => value >= 0 && value <= 1, 'a share from 0 to 1'),
)

const KINDS = {
  authentication: object(
    {
      tokens: v.array(
        object(
          { id: name('a name'), hash, expiresAt: v.optional(moment), routes: v.optional(routes) },
          '{ id, hash, … }',
        ),
        'tokens in an array',
      ),
    },
    '{ tokens }',
  ),
  addresses: object(
    { allow: v.optional(v.array(range, 'ranges in an array')), deny: v.optional(v.array(range, 'ranges in an array')) },
    '{ allow, deny }',
  ),
  rateLimit: v.pipe(
    object(
      {
        requests: v.optional(positiveInteger),
        tokens: v.optional(positiveInteger),
        concurrency: v.optional(positiveInteger),
        per: v.optional(positiveDuration),
        by,
      },
      '{ requests, tokens, concurrency, per, by }',
    ),
    v.check(each => [each.requests, each.tokens, each.concurrency].some(Boolean), 'requests, tokens or concurrency'),
    v.check(
      each => (each.per !== undefined) === (each.requests !== undefined || each.tokens !== undefined),
      "'per' beside requests or tokens",
    ),
  ),
  budget: v.pipe(
    object(
      {
        requests: v.optional(positiveInteger),
        tokens: v.optional(positiveInteger),
        per: v.picklist(['day', 'month'], "'day' or 'month'"),
        timeZone: v.optional(timeZone),
        by,
      },
      '{ requests, tokens, per, … }',
    ),
    v.check(each => each.requests !== undefined || each.tokens !== undefined, 'requests or tokens'),
  ),
  allow: object(
    {
      methods: v.optional(words("methods such as 'POST'")),
      paths: v.optional(words("paths such as '/v1/*'")),
      models: v.optional(words("models such as 'gpt-*'")),
    },
    '{ methods, paths, models }',
  ),
  maxBody: bytes,
  priority: object(
    {
      high: v.optional(words('ids of callers')),
      low: v.optional(words('ids of callers')),
      slots: v.optional(positiveInteger),
    },
    '{ high, low, slots }',
  ),
} as const
const KIND_NAMES = Object.keys(KINDS) as (keyof typeof KINDS)[]
const POLICY = `{ name, … } and one of ${KIND_NAMES.join(', ')}`

const policy = v.lazy((value): v.GenericSchema => {
  const given = typeof value === 'object' && value !== null ? KIND_NAMES.filter(kind => kind in value) : []
  if (given.length !== 1) return v.custom(() => false, POLICY)
  const kind = given[0]!
  return object({ name: name('a name'), routes: v.optional(routes), [kind]: KINDS[kind] }, POLICY)
})
const policies = v.array(policy, 'policies in an array')

function isKeys(keys: unknown): boolean {
  return Array.isArray(keys) && keys.every(key => typeof key === 'string' || (typeof key === 'object' && key !== null))
}

const route = v.pipe(
  v.custom<Record<string, unknown>>(value => typeof value === 'object' && value !== null, 'a route: { keys, … }'),
  v.check(
    ({ keys }) => typeof keys === 'string' || isKeys(keys),
    "a route with 'keys': keys in an array or in one text",
  ),
)

const LEVEL = "'debug', 'info', 'warn' or 'error'"
const schema = object(
  {
    listen: v.optional(
      object(
        {
          host: v.optional(name('a host')),
          port: v.optional(
            v.pipe(
              v.number('a port: 0 to 65535'),
              v.check(port => Number.isInteger(port) && port >= 0 && port <= 65_535, 'a port: 0 to 65535'),
            ),
          ),
          tls: v.optional(object({ cert: v.string('a certificate'), key: v.string('its key') }, '{ cert, key }')),
        },
        '{ host, port, tls }',
      ),
    ),
    routes: v.pipe(
      v.record(routePath, route, "routes by their path, such as { '/openai': { … } }"),
      v.check(all => Object.keys(all).length > 0, 'at least one route'),
      v.check(
        all => !Object.keys(all).some(path => /^\/(?:__keypool|health|ready|metrics)(?:\/|$)/.test(path)),
        "routes beside '/__keypool', '/health', '/ready' and '/metrics'",
      ),
    ),
    policies: v.optional(policies),
    trustedProxies: v.optional(v.array(range, 'ranges in an array')),
    operator: v.optional(
      object({ tokens: v.pipe(v.array(hash, 'hashes in an array'), v.minLength(1, 'a hash')) }, '{ tokens }'),
    ),
    dashboard: v.optional(v.boolean('true or false')),
    metrics: v.optional(v.boolean('true or false')),
    log: v.optional(
      v.lazy(
        (value): v.GenericSchema =>
          value === false
            ? v.literal(false)
            : object(
                {
                  file: v.optional(name('a path')),
                  level: v.optional(v.picklist(['debug', 'info', 'warn', 'error'], LEVEL)),
                  sample: v.optional(share),
                },
                'false, or { file, level, sample }',
              ),
      ),
    ),
    alerts: v.optional(
      v.array(
        object(
          {
            url: httpUrl,
            secret: v.optional(name('a secret')),
            events: v.optional(v.array(v.picklist(ALERT_EVENTS, ALERT_EVENTS.join(', ')), 'events in an array')),
            quiet: v.optional(duration),
          },
          '{ url, secret, events, quiet }',
        ),
        'alerts in an array',
      ),
    ),
    state: v.optional(name('a path')),
    workers: v.optional(
      v.pipe(
        positiveInteger,
        v.check(count => count <= 64, 'a number of processes: 1 to 64'),
      ),
    ),
    redis: v.optional(name('a redis:// URL')),
    allowPrivateUpstreams: v.optional(
      v.lazy(
        (value): v.GenericSchema =>
          typeof value === 'boolean' ? v.boolean('true or ranges') : oneOrMany(range, 'true, or ranges in an array'),
      ),
    ),
    server: v.optional(
      object(
        {
          maxHeaderBytes: v.optional(positiveInteger),
          headersTimeout: v.optional(positiveDuration),
          requestTimeout: v.optional(positiveDuration),
          idleTimeout: v.optional(positiveDuration),
          stallTimeout: v.optional(positiveDuration),
          maxConnections: v.optional(positiveInteger),
          drain: v.optional(duration),
        },
        '{ maxHeaderBytes, … }',
      ),
    ),
  },
  'a configuration: { routes, … }',
)

/** The keys that stand in a configuration as they are, as far as it has the form of one. */
function keysIn(value: unknown): string[] {
  const { routes } = (value ?? {}) as { routes?: Record<string, { keys?: unknown } | null> }
  if (typeof routes !== 'object' || routes === null) return []
  return Object.values(routes)
    .flatMap(each => [(each as { keys?: unknown } | null)?.keys ?? []].flat() as unknown[])
    .flatMap(key => (typeof key === 'string' ? splitKeys(key) : [(key as { value?: unknown } | null)?.value]))
    .filter(key => typeof key === 'string')
}

/** Checks policies alone. @throws InvalidOptionError */
export function checkPolicies<Policies>(value: Policies): Policies {
  return check(policies, value, 'policies', []) as Policies
}

/** Checks all but the options of the pools, which are checked when these are made, and their policies. @throws InvalidOptionError */
export function checkConfig(value: unknown, known: readonly string[] = []): GatewayConfig {
  const secrets = [...known, ...keysIn(value)]
  const config = check(schema, value, '', secrets) as unknown as GatewayConfig
  const names = new Set<string>()
  for (const [path, each] of Object.entries(config.routes)) {
    if (each.policies !== undefined) check(policies, each.policies, `routes.${path}.policies`, secrets)
    if (each.upstream !== undefined) check(httpUrl, each.upstream, `routes.${path}.upstream`, secrets)
  }
  for (const each of [
    ...(config.policies ?? []),
    ...Object.values(config.routes).flatMap(({ policies = [] }) => policies),
  ]) {
    if (names.has(each.name))
      check(
        v.custom(() => false, 'a name of its own for each policy'),
        each.name,
        'policies.name',
        secrets,
      )
    names.add(each.name)
    // A policy for a route that is none would ask nobody for anything.
    for (const route of each.routes ?? []) {
      if (!(route in config.routes)) {
        check(
          v.custom(() => false, `one of ${Object.keys(config.routes).join(', ')}`),
          route,
          `policies.${each.name}.routes`,
          secrets,
        )
      }
    }
  }
  return config
}
