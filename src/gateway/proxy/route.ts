import type { KeyOptions, Options, PooledFetch, Sharing } from 'fetch-keypool'
import { type ProviderName, wrapFetch } from 'fetch-keypool'
import { InvalidOptionError, KeypoolError } from '../../errors.js'
import { PROVIDERS } from '../../signals/providers/index.js'
import type { RouteConfig } from '../config/config.js'
import { splitKeys } from '../config/secrets.js'
import { createPolicies, type PolicyBook } from '../policies/create-policies.js'
import type { Policy } from '../policies/policy.js'
import { keyHider } from './key-hider.js'

/** One pool, under its path. */
export interface Route {
  /** Where callers find it: `'/openai'`. */
  readonly path: string
  readonly fetch: PooledFetch
  readonly policies: readonly Policy[]
  /** What stands before the rest of a path. */
  readonly base: { readonly origin: string; readonly href: string; readonly path: string }
  /** The most that a body may hold, in bytes. */
  readonly maxBody: number
  /** Takes the key out of an answer's fields, and makes those that lead to the service lead here. */
  hideKeys(headers: Record<string, string | string[]>, url: URL): void
  /** The name of the provider; `undefined`: none that is known. */
  readonly provider: string | undefined
  /** Whether it is of interest what answers say of tokens. */
  readonly countsTokens: boolean
  /** Whether nobody is asked for a token. */
  readonly isOpen: boolean
  /** Where answers are stored: who may see what of them, its policies of access as text. */
  readonly seenBy: string
  /** Where its keys may travel. */
  readonly origins: readonly string[]
  /** What it was made of, to tell whether that has changed. */
  readonly made: string
}

/** The policies that there were, and those that there are now. */
export interface Books {
  readonly before?: PolicyBook | undefined
  readonly book?: PolicyBook
}

/** @throws InvalidOptionError, whose option begins with `routes.` and the path */
export function createRoute(
  path: string,
  config: RouteConfig,
  upstreamFetch: typeof globalThis.fetch,
  sharing: Sharing | undefined,
  policies: readonly Policy[],
  books: Books = {},
): Route {
  const { upstream, keys: _, policies: __, ...options } = config
  try {
    const base = upstreamOf(upstream, config)
    const traits = traitsOf(path, config, policies, books)
    const fetch = wrapFetch(upstreamFetch, {
      retry: 2,
      hideKeys: true,
      // Where callers are told apart, what one may see is not to be shown to another, unless that is said to be fine.
      cache: traits.isOpen,
      ...options,
      origins: options.origins ?? base.origin,
      keys: keysOf(config),
      onExhausted: 'respond',
      ...(sharing ? { sharing } : {}),
    } as Options)
    const within = { origin: base.origin, href: base.href.replace(/\/$/, ''), path: base.pathname.replace(/\/$/, '') }
    return {
      ...{ path, fetch, made: JSON.stringify(config), base: within },
      hideKeys: keyHider(path, within, config),
      origins: originsOf(config, base.origin),
      provider: typeof config.provider === 'string' ? config.provider : undefined,
      ...traits,
    }
  } catch (error) {
    if (!KeypoolError.is(error, 'ERR_INVALID_OPTION')) throw error
    throw new InvalidOptionError(`routes.${path}.${error.option}`, error.expected, error.received)
  }
}

/** What of a route follows from its policies, which may change while its pool goes on. */
export function traitsOf(
  path: string,
  { policies: own = [], limits = [], cache }: RouteConfig,
  shared: readonly Policy[],
  { before, book }: Books = {},
): Pick<Route, 'policies' | 'isOpen' | 'countsTokens' | 'seenBy' | 'maxBody'> {
  const policies = [...shared, ...createPolicies(own, path, before, book)].filter(
    ({ routes }) => routes?.includes(path) ?? true,
  )
  const hasTokenLimits = [limits].flat().some(limit => limit.tokens !== undefined)
  const isOpen = !policies.some(({ authenticates }) => authenticates)
  return {
    policies,
    countsTokens: hasTokenLimits || policies.some(({ needsTokens }) => needsTokens),
    maxBody: Math.min(Number.POSITIVE_INFINITY, ...policies.map(({ maxBody }) => maxBody ?? Number.POSITIVE_INFINITY)),
    isOpen,
    seenBy: (cache ?? isOpen) === false ? '' : JSON.stringify(policies.flatMap(({ access = [] }) => access)),
  }
}

/** The origins that are named; where any will do, that of the service itself. */
function originsOf({ origins }: RouteConfig, own: string): string[] {
  const named = [origins ?? []].flat().filter(each => URL.canParse(each))
  return [...new Set([own, ...named.map(each => new URL(each).origin)])]
}

/** The keys of a route, one by one. */
export function keysOf({ keys }: RouteConfig): (string | KeyOptions)[] {
  return typeof keys === 'string' ? splitKeys(keys) : expand(keys)
}

/** Paths that cost nothing and need a key, by provider. */
const PROBES: Readonly<Record<string, string>> = {
  ...{
    openai: '/v1/models',
    anthropic: '/v1/models',
    gemini: '/v1beta/models',
    mistral: '/v1/models',
    cohere: '/v1/models',
  },
  ...{
    groq: '/openai/v1/models',
    deepseek: '/models',
    openrouter: '/api/v1/key',
    github: '/rate_limit',
    gitlab: '/api/v4/user',
  },
  ...{ stripe: '/v1/balance', notion: '/v1/users/me', discord: '/api/v10/users/@me', slack: '/api/auth.test' },
}

/** The URL of a request that tells whether a key is good. */
export function probeOf(route: RouteConfig, path: string | undefined): string {
  const known = typeof route.provider === 'string' ? PROBES[route.provider] : undefined
  return upstreamOf(route.upstream, route).href.replace(/\/$/, '') + (path ?? known ?? '/')
}

/** Texts among the keys may hold several. */
function expand(keys: readonly (string | KeyOptions)[]): (string | KeyOptions)[] {
  return keys.flatMap((key): (string | KeyOptions)[] => {
    if (typeof key === 'string') return splitKeys(key)
    return [key.expiresAt === undefined ? key : { ...key, expiresAt: new Date(key.expiresAt) }]
  })
}

function upstreamOf(upstream: string | undefined, { origins, provider }: RouteConfig): URL {
  const named = typeof provider === 'string' ? PROVIDERS[provider as ProviderName] : provider
  const [first] = [upstream ?? origins ?? named?.origins ?? []].flat()
  if (first === undefined || first === '*' || !URL.canParse(first)) {
    throw new InvalidOptionError('upstream', "a URL, as 'provider' and 'origins' name none", 'nothing')
  }
  const url = new URL(first)
  if (url.username !== '' || url.password !== '') {
    throw new InvalidOptionError(
      'upstream',
      'a URL without a user and a password: keys stand under keys',
      'one with them',
    )
  }
  if (url.search !== '' || url.hash !== '')
    throw new InvalidOptionError('upstream', 'a URL without query or hash', `one of ${url.origin} with them`)
  if (
    upstream !== undefined &&
    origins !== undefined &&
    origins !== '*' &&
    ![origins].flat().some(each => URL.canParse(each) && new URL(each).origin === url.origin)
  ) {
    throw new InvalidOptionError(
      'origins',
      `the origin of 'upstream' among them (${url.origin}): keys travel nowhere else`,
      'others',
    )
  }
  return url
}
