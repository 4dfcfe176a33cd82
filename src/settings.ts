import type { Auth } from './auth.js'
import type { CacheStore } from './cache/cache-store.js'
import { CALENDAR_PERIODS, type CalendarPeriod } from './calendar.js'
import { describe } from './describe.js'
import { InvalidOptionError } from './errors.js'
import type { ResolvedLimit } from './limiter/create-limiter.js'
import type { KeyInput, Limit, Logger, Options, RetryContext, Strategy, StrategyName } from './options.js'
import type { RequestSummary } from './request-summary.js'
import { check } from './schema/check.js'
import { keySchema, keysSchema, optionsSchema } from './schema/options-schema.js'
import { UNSENDABLE } from './schema/parts.js'
import { Secret } from './secret.js'
import type { Sharing } from './sharing.js'
import type { LimitedBy, Provider } from './signals/provider.js'
import { PROVIDERS, type ProviderName } from './signals/providers/index.js'

/** The options, checked, with every default in its place and every duration in milliseconds. */
export interface Settings {
  /** `'*'`: every http(s) origin. */
  readonly origins: ReadonlySet<string> | '*'
  /** The origin that a key's own `baseUrl` stands in for. */
  readonly firstOrigin: string | undefined
  readonly auth: Auth
  readonly provider: Provider | undefined
  /** Whether the provider is one that this library knows. */
  readonly isKnownService: boolean
  /** What requests share a limit of a key. */
  readonly scope: LimitedBy
  /** `undefined`: `'weighted'` where some key has a weight, else `'least-loaded'`. */
  readonly strategy: StrategyName | Strategy | undefined
  readonly retry: RetrySettings | undefined
  readonly cache: CacheSettings | undefined
  readonly maxWait: number
  /** `maxWait`, and a little more: a request that waits as long as a window needs that much longer to be sure of its end. */
  readonly patience: number
  readonly onExhausted: 'throw' | 'respond'
  readonly timeout: {
    readonly attempt: number | undefined
    readonly total: number | undefined
    readonly body: number | undefined
  }
  readonly keys: KeySource
  /** `maxBytes`: how much of a `Request`'s body is kept so that it can be sent again. */
  readonly replay: { readonly maxBytes: number }
  readonly hideKeys: boolean
  readonly hideRateLimitHeaders: boolean
  readonly alert: AlertSettings
  readonly logger: Logger | undefined
  readonly sharing: Sharing | undefined
}

export interface AlertSettings {
  /** The largest first. */
  readonly remaining: readonly number[]
  readonly ahead: number
  readonly quiet: number
}

export interface RetrySettings {
  readonly retries: number
  readonly methods: ReadonlySet<string>
  readonly statuses: ReadonlySet<number> | undefined
  readonly minDelay: number
  readonly maxDelay: number
  readonly factor: number
  /** `undefined`: no bound. */
  readonly budget: number | undefined
  readonly shouldRetry: ((failure: RetryContext) => boolean | Promise<boolean>) | undefined
}

export interface CacheSettings {
  readonly ttl: number | undefined
  readonly methods: ReadonlySet<string>
  readonly only: ((request: RequestSummary) => boolean) | undefined
  readonly tenants: 'pool' | 'group'
  readonly store: CacheStore | undefined
  readonly maxBytes: number
  readonly maxEntries: number
  readonly maxBodyBytes: number
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
}

/** One key, checked. */
export interface KeySettings {
  /** Where it stood in the options, for messages. */
  readonly at: string
  readonly secret: Secret
  readonly id: string | undefined
  readonly group: string | undefined
  /** `undefined`: not given, and 1. */
  readonly weight: number | undefined
  readonly priority: number
  /** Its own, or else the pool's. */
  readonly limits: readonly ResolvedLimit[]
  readonly expiresAt: number
  readonly baseUrl: URL | undefined
  readonly tags: readonly string[]
}

/** Where keys come from. */
export interface KeySource {
  /** The function that brings them; `undefined`: the list is all there is. */
  readonly load: (() => readonly KeyInput[] | Promise<readonly KeyInput[]>) | undefined
  readonly list: readonly KeySettings[]
  /** Checks a list that the function brought. */
  readAll(inputs: unknown): KeySettings[]
  /** Checks one key that is added later. */
  readOne(input: unknown): KeySettings
}

/**
 * Checks the options and puts the defaults in.
 *
 * @throws InvalidOptionError
 */
export function resolveOptions(options: Options): Settings {
  const secrets = secretsIn((options as Partial<Options> | null | undefined)?.keys)
  const given = check(optionsSchema, options, '', secrets) as {
    origins?: '*' | string[]
    provider?: ProviderName | (Provider & { origins?: string[] })
    scope?: LimitedBy
    keys: unknown
    auth?: Auth
    limits?: Limit[]
    strategy?: StrategyName | Strategy
    retry?: number | false | GivenRetry
    cache?: boolean | (Partial<Omit<CacheSettings, 'methods'>> & { methods?: string[] })
    maxWait?: number
    onExhausted?: 'throw' | 'respond'
    timeout?: number | { attempt?: number; total?: number; body?: number }
    replay?: { maxBytes?: number }
    hideKeys?: boolean
    hideRateLimitHeaders?: boolean
    alert?: { remaining?: number[]; ahead?: number; quiet?: number }
    logger?: Logger
    sharing?: Sharing
  }
  const named: Provider | undefined = typeof given.provider === 'string' ? PROVIDERS[given.provider] : given.provider
  const scope = given.scope ?? named?.scope ?? 'key'
  // Who says what shares a limit means that a refusal reaches so far.
  const provider: Provider | undefined =
    scope === 'key' || named?.limitScope ? named : { ...named, name: named?.name ?? 'unknown', limitScope: 'model' }
  const auth = given.auth ?? provider?.auth ?? 'bearer'
  const listed = given.origins ?? (provider?.origins && ([] as string[]).concat(provider.origins))
  if (listed === undefined) {
    const whose = named ? `provider '${named.name}' has none of its own` : 'there is no provider that brings its own'
    throw new InvalidOptionError('origins', `to be given, as ${whose}`, 'nothing')
  }
  const origins = listed === '*' ? '*' : new Set(listed)
  const firstOrigin = listed === '*' ? undefined : listed[0]
  const limitsOfPool = resolveLimits(given.limits ?? [])
  const keys = keySource(given.keys, { auth, limits: limitsOfPool, firstOrigin })
  const timeout =
    typeof given.timeout === 'object' ? given.timeout : { total: given.timeout, attempt: undefined, body: undefined }
  return {
    origins,
    firstOrigin,
    auth,
    provider,
    isKnownService: typeof given.provider === 'string',
    scope,
    strategy: given.strategy,
    retry: resolveRetry(given.retry ?? 2),
    cache: resolveCache(given.cache ?? true),
    ...waitsFor(given.maxWait, [...limitsOfPool, ...keys.list.flatMap(key => key.limits)]),
    onExhausted: given.onExhausted ?? 'throw',
    timeout: { attempt: timeout.attempt, total: timeout.total, body: timeout.body },
    keys,
    hideKeys: given.hideKeys ?? false,
    hideRateLimitHeaders: given.hideRateLimitHeaders ?? false,
    replay: { maxBytes: given.replay?.maxBytes ?? 16 * 1024 * 1024 },
    alert: {
      remaining: [...(given.alert?.remaining ?? [0.2, 0.05])].sort((a, b) => b - a),
      ahead: given.alert?.ahead ?? 600_000,
      quiet: given.alert?.quiet ?? 60_000,
    },
    logger: given.logger,
    sharing: given.sharing,
  }
}

const DEFAULT_MAX_WAIT_MS = 60_000
/** A longer window is not waited for unless the user says so. */
const MAX_WINDOW_MS = 600_000

/** How long requests wait for a key. By default they can wait for the longest window that is declared, up to a bound. */
function waitsFor(given: number | undefined, limits: readonly ResolvedLimit[]): Pick<Settings, 'maxWait' | 'patience'> {
  const windows = limits.flatMap(limit => (limit.kind === 'window' && limit.per <= MAX_WINDOW_MS ? [limit.per] : []))
  const longest = Math.max(0, ...windows)
  const maxWait = given ?? Math.max(DEFAULT_MAX_WAIT_MS, longest + Math.min(5_000, longest / 20))
  return { maxWait, patience: maxWait + Math.min(250, maxWait / 20) }
}

type GivenRetry = Partial<Omit<RetrySettings, 'methods' | 'statuses' | 'budget'>> & {
  methods?: string[]
  statuses?: number[]
  budget?: number | false
}

function resolveRetry(retry: number | false | GivenRetry): RetrySettings | undefined {
  const given = typeof retry === 'object' ? retry : { retries: retry === false ? 0 : retry }
  const retries = given.retries ?? 2
  if (retries === 0) return undefined
  const methods = given.methods ?? ['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']
  return {
    retries,
    methods: new Set(methods.map(method => method.toUpperCase())),
    statuses: given.statuses && new Set(given.statuses),
    minDelay: given.minDelay ?? 500,
    maxDelay: given.maxDelay ?? 30_000,
    factor: given.factor ?? 2,
    budget: given.budget === false ? undefined : (given.budget ?? 50),
    shouldRetry: given.shouldRetry,
  }
}

function resolveCache(
  cache: boolean | (Partial<Omit<CacheSettings, 'methods'>> & { methods?: string[] }),
): CacheSettings | undefined {
  if (cache === false) return undefined
  const given = cache === true ? {} : cache
  return {
    ttl: given.ttl,
    methods: new Set(given.methods ?? ['GET', 'HEAD']),
    only: given.only,
    tenants: given.tenants ?? 'pool',
    store: given.store,
    maxBytes: given.maxBytes ?? 50 * 1024 * 1024,
    maxEntries: given.maxEntries ?? 1000,
    maxBodyBytes: given.maxBodyBytes ?? 5 * 1024 * 1024,
    staleWhileRevalidate: given.staleWhileRevalidate ?? 0,
    staleIfError: given.staleIfError ?? 0,
  }
}

/** A user's limits, each taken apart into the single things that it bounds. */
function resolveLimits(limits: readonly Limit[]): ResolvedLimit[] {
  const resolved: ResolvedLimit[] = []
  for (const { requests, tokens, per, timeZone = 'UTC', burst, concurrency, cost, settle } of limits) {
    for (const [unit, limit] of [
      ['requests', requests],
      ['tokens', tokens],
    ] as const) {
      if (limit === undefined) continue
      const common = { unit, limit, cost: unit === 'tokens' ? cost : undefined, settles: settle }
      if (isCalendarPeriod(per)) resolved.push({ kind: 'calendar', ...common, per, timeZone })
      else resolved.push({ kind: 'window', ...common, per: per as number, burst })
    }
    if (concurrency !== undefined) resolved.push({ kind: 'concurrency', limit: concurrency })
  }
  return resolved
}

function isCalendarPeriod(per: Limit['per']): per is CalendarPeriod {
  return (CALENDAR_PERIODS as readonly unknown[]).includes(per)
}

interface KeyContext {
  readonly auth: Auth
  readonly limits: readonly ResolvedLimit[]
  readonly firstOrigin: string | undefined
}

function keySource(keys: unknown, context: KeyContext): KeySource {
  const read = (key: CheckedKey, at: string) => readKey(key, at, context)
  const readAll = (inputs: unknown) => {
    const checked = check(keysSchema, inputs, 'keys', []) as CheckedKey[]
    const settings = checked.map((key, index) => read(key, `keys[${index}]`))
    refuseTwins(settings)
    if (settings.length === 0) throw new InvalidOptionError('keys', 'at least one key', 'an empty array')
    return settings
  }
  const readOne = (input: unknown) => {
    return read(check(keySchema, input, 'key', []) as CheckedKey, 'key')
  }
  if (typeof keys === 'function') return { load: keys as NonNullable<KeySource['load']>, list: [], readAll, readOne }
  return { load: undefined, list: readAll(keys), readAll, readOne }
}

type CheckedKey = Omit<Exclude<KeyInput, string>, 'limits'> & { limits?: Limit[] }

function readKey(key: CheckedKey, at: string, { auth, limits, firstOrigin }: KeyContext): KeySettings {
  const { value } = key
  refuseOddKey(value, at, auth)
  for (const [name, text] of [
    ['id', key.id],
    ['group', key.group],
    ['baseUrl', key.baseUrl],
    ['tags', key.tags?.join(' ')],
  ] as const) {
    // A word as short as a name may well be one; no real key is.
    if (value.length >= 16 && text?.includes(value)) {
      throw new InvalidOptionError(
        `${at}.${name}`,
        "words that don't hold the key's value: it is shown in events and logs",
        'the value',
      )
    }
  }
  if (key.baseUrl !== undefined && firstOrigin === undefined) {
    throw new InvalidOptionError(
      `${at}.baseUrl`,
      'origins to be listed, as it stands in for the first of them',
      "origins: '*'",
    )
  }
  if (key.expiresAt && Number.isNaN(key.expiresAt.getTime())) {
    throw new InvalidOptionError(`${at}.expiresAt`, 'a Date', 'an invalid Date')
  }
  return {
    at,
    secret: new Secret(value),
    id: key.id,
    group: key.group,
    weight: key.weight,
    priority: key.priority ?? 0,
    limits: key.limits ? resolveLimits(key.limits) : limits,
    expiresAt: key.expiresAt?.getTime() ?? Number.POSITIVE_INFINITY,
    baseUrl: key.baseUrl === undefined ? undefined : new URL(key.baseUrl),
    tags: [...(key.tags ?? [])],
  }
}

/** What a variable that was never set, or that is no text, becomes where it is put into one. */
const NO_KEY =
  /^(?:undefined|null|NaN|true|false|\[object \w+\])(?:,(?:undefined|null|NaN|true|false|\[object \w+\]))*$/
/** The name of an authentication scheme (RFC 9110 section 11.1) before a key, as in `Bearer sk-…`. */
const SCHEME = /^(?:bearer|basic|token|apikey|api-key)(?:\s|$)/i

/** Refuses what can't be meant as a key, and says what it is without quoting it. */
function refuseOddKey(value: string, at: string, auth: Auth): void {
  const refuse = (expected: string, received: string): never => {
    throw new InvalidOptionError(`${at}.value`, expected, received)
  }
  if (value === '') refuse('a key: a string that is not empty', 'an empty string')
  if (NO_KEY.test(value)) {
    refuse('a key', `the text '${value}' (from a variable that is not set, or that is no text?)`)
  }
  if (value.trim() === '') refuse('a key: a string that is not empty', 'nothing but spaces')
  if (value.trim() !== value) {
    const what = /[\r\n]/.test(value) ? 'a line break' : 'a space'
    refuse('a key without spaces or line breaks around it, which a header can carry', `one with ${what} around it`)
  }
  if (/^(["'`]).*\1$/.test(value)) refuse('a key without quotes around it', 'one in quotes')
  if (typeof auth === 'function') return
  const isHeader = auth === 'bearer' || 'header' in auth
  if (isHeader && UNSENDABLE.test(value)) {
    refuse(
      'a key that a header can carry: no line breaks, no characters beyond Latin-1',
      'one that a header cannot carry',
    )
  }
  const format = auth === 'bearer' ? 'Bearer {key}' : 'header' in auth ? (auth.format ?? '{key}') : undefined
  const before = format?.slice(0, format.indexOf('{key}')) ?? ''
  // Where the format brings no scheme of its own, the key may well bring one: the header is the user's.
  if (!(isHeader && before === '') && SCHEME.test(value)) {
    refuse('the key alone, without the scheme before it', `one that begins with '${value.split(/\s/, 1)[0]} '`)
  }
  if (before.trim() !== '' && value.toLowerCase().startsWith(before.toLowerCase())) {
    refuse(
      `the key alone, as 'auth' puts '${before.trim()}' before it`,
      `one that begins with '${before.trim()}' already`,
    )
  }
  if (auth === 'bearer' && /\s/.test(value)) refuse('a key without spaces in it', 'one with a space in it')
}

function refuseTwins(keys: readonly KeySettings[]): void {
  const ids = new Map<string, number>()
  const values = new Map<string, number>()
  keys.forEach(({ id, secret }, index) => {
    const twin = id === undefined ? undefined : ids.get(id)
    if (twin !== undefined) {
      throw new InvalidOptionError(
        `keys[${index}].id`,
        'an id of its own for each key',
        `that of keys[${twin}]: ${describe(id)}`,
      )
    }
    if (id !== undefined) ids.set(id, index)
    const same = values.get(secret.reveal())
    if (same !== undefined) {
      throw new InvalidOptionError(`keys[${index}].value`, 'each key once', `the value of keys[${same}] again`)
    }
    values.set(secret.reveal(), index)
  })
}

/** Every string in the keys that may be a secret, for messages to leave out; never throws, whatever came. */
function secretsIn(keys: unknown): string[] {
  if (!Array.isArray(keys)) return []
  return keys.flatMap((key: unknown) => {
    const value = typeof key === 'object' && key !== null ? (key as { value?: unknown }).value : key
    return typeof value === 'string' && value !== '' ? [value] : []
  })
}
