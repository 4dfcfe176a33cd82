import type { Auth } from './auth.js'
import type { CacheStore } from './cache/cache-store.js'
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
  /** What requests share a limit of a key. */
  readonly scope: LimitedBy
  readonly strategy: StrategyName | Strategy
  readonly retry: RetrySettings | undefined
  readonly cache: CacheSettings | undefined
  readonly maxWait: number
  readonly onExhausted: 'throw' | 'respond'
  readonly timeout: { readonly attempt: number | undefined; readonly total: number | undefined }
  readonly keys: KeySource
  /** `maxBytes`: how much of a `Request`'s body is kept so that it can be sent again. */
  readonly replay: { readonly maxBytes: number }
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
  readonly weight: number
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
    retry?:
      | number
      | false
      | (Partial<Omit<RetrySettings, 'methods' | 'statuses'>> & { methods?: string[]; statuses?: number[] })
    cache?: boolean | (Partial<Omit<CacheSettings, 'methods'>> & { methods?: string[] })
    maxWait?: number
    onExhausted?: 'throw' | 'respond'
    timeout?: number | { attempt?: number; total?: number }
    replay?: { maxBytes?: number }
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
  const keys = keySource(given.keys, { auth, limits: resolveLimits(given.limits ?? []), firstOrigin })
  const timeout = typeof given.timeout === 'object' ? given.timeout : { total: given.timeout }
  return {
    origins,
    firstOrigin,
    auth,
    provider,
    scope,
    strategy: given.strategy ?? 'least-loaded',
    retry: resolveRetry(given.retry ?? 2),
    cache: resolveCache(given.cache ?? true),
    maxWait: given.maxWait ?? 60_000,
    onExhausted: given.onExhausted ?? 'throw',
    timeout: { attempt: timeout.attempt, total: timeout.total },
    keys,
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

function resolveRetry(
  retry:
    | number
    | false
    | (Partial<Omit<RetrySettings, 'methods' | 'statuses'>> & { methods?: string[]; statuses?: number[] }),
): RetrySettings | undefined {
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
  for (const { requests, tokens, per, timeZone = 'UTC', burst, concurrency, cost } of limits) {
    for (const [unit, limit] of [
      ['requests', requests],
      ['tokens', tokens],
    ] as const) {
      if (limit === undefined) continue
      const common = { unit, limit, cost: unit === 'tokens' ? cost : undefined }
      if (per === 'day' || per === 'month') resolved.push({ kind: 'calendar', ...common, per, timeZone })
      else resolved.push({ kind: 'window', ...common, per: per as number, burst })
    }
    if (concurrency !== undefined) resolved.push({ kind: 'concurrency', limit: concurrency })
  }
  return resolved
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
  if (value === '') throw new InvalidOptionError(`${at}.value`, 'a key: a string that is not empty', 'an empty string')
  if (auth === 'bearer' || (typeof auth === 'object' && 'header' in auth)) {
    if (UNSENDABLE.test(value) || value.trim() !== value) {
      const expected =
        'a key that a header can carry: no line breaks, no spaces around it, no characters beyond Latin-1'
      throw new InvalidOptionError(`${at}.value`, expected, 'one that a header cannot carry (a line break at its end?)')
    }
  }
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
    weight: key.weight ?? 1,
    priority: key.priority ?? 0,
    limits: key.limits ? resolveLimits(key.limits) : limits,
    expiresAt: key.expiresAt?.getTime() ?? Number.POSITIVE_INFINITY,
    baseUrl: key.baseUrl === undefined ? undefined : new URL(key.baseUrl),
    tags: [...(key.tags ?? [])],
  }
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
