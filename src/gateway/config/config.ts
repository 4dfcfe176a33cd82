import type { KeyOptions, Limit, Options } from '../../options.js'

/** What a gateway is made of, in a file or in code. */
export interface GatewayConfig {
  /** Where it listens. A host beyond loopback needs a policy of authentication. @default 127.0.0.1:8787 */
  listen?: ListenConfig | undefined
  /** The pools, by the path under which callers find them: `'/openai'`. */
  routes: Readonly<Record<string, RouteConfig>>
  /** What is asked of every request, in this order, before it gets a key. */
  policies?: readonly PolicyConfig[] | undefined
  /** Proxies before it, as CIDR ranges: `X-Forwarded-For` is believed of them only. @default none */
  trustedProxies?: readonly string[] | undefined
  /** Who may look at keys and change them over HTTP: hashes of tokens (`fetch-keypool token` makes one). @default nobody */
  operator?: { tokens: readonly string[] } | undefined
  /** The page at `/__keypool/`: for the operator, or, where there is none, for whoever is on this machine. @default true */
  dashboard?: boolean | undefined
  /** `/metrics` in Prometheus' text, for whoever may see the page. @default true */
  metrics?: boolean | undefined
  /** The log of requests: JSON lines. `sample`: the share of successful requests that are written. @default to stdout, all */
  log?: false | { file?: string | undefined; level?: LogLevel | undefined; sample?: number | undefined } | undefined
  /** Who is told when keys run out. */
  alerts?: readonly AlertConfig[] | undefined
  /** A file in which cooldowns, the use of long windows and learnt limits outlive the process. @default none */
  state?: string | undefined
  /** A Redis over which several gateways share their pools: needs `ioredis`. @default none */
  redis?: string | undefined
  /** Addresses that upstreams may have although they are private, as CIDR ranges; `true`: any. @default none */
  allowPrivateUpstreams?: boolean | readonly string[] | undefined
  /**
   * How many processes serve, of `fetch-keypool gateway`. They share limits over `redis`; without it each takes its part of
   * each. What policies count, they tell each other. @default 1
   */
  workers?: number | undefined
  /** Bounds on callers. */
  server?: ServerBounds | undefined
}

/** An address, and certificates. */
export interface ListenConfig {
  host?: string | undefined
  port?: number | undefined
  /** Serves HTTPS. With other certificates after a reload, new connections get those. @default none: HTTP */
  tls?: TlsConfig | undefined
}

/** A certificate (with those that it was signed with) and its key, in PEM: as texts, or as `file:` and a path. */
export interface TlsConfig {
  readonly cert: string
  readonly key: string
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** Bounds on callers and on the end; durations in milliseconds or as `'5s'`. */
export interface ServerBounds {
  /** The largest header section, in bytes. @default 16384 */
  maxHeaderBytes?: number | undefined
  /** In how much time a request's headers must have come. @default '10s' */
  headersTimeout?: number | string | undefined
  /** In how much time a request must have come in whole. @default '5m' */
  requestTimeout?: number | string | undefined
  /** How long a connection is kept on which nothing happens: no next request, or nobody who reads the answer. @default '65s' */
  idleTimeout?: number | string | undefined
  /** How long a service may be silent, before its answer or within it. A route's `timeout` may be shorter. @default '10m' */
  stallTimeout?: number | string | undefined
  /** How many connections there may be. @default 10000 */
  maxConnections?: number | undefined
  /** How long requests that are on their way may take at the end. @default '30s' */
  drain?: number | string | undefined
}

/** One pool: what {@link Options} takes and can be said in a file, and what a gateway adds to that. */
export interface RouteConfig
  extends Pick<
    Options,
    'provider' | 'origins' | 'auth' | 'limits' | 'scope' | 'maxWait' | 'timeout' | 'alert' | 'cache' | 'retry'
  > {
  /** Where it leads: a URL before which the rest of the path is put. @default the provider's origin, or the first of `origins` */
  upstream?: string | undefined
  /** The keys: in an array, in one text with commas or line breaks between them, or `file:` and a path. */
  keys: string | readonly (string | KeyOptions)[]
  strategy?: Exclude<Options['strategy'], (...args: never[]) => unknown> | undefined
  /** Policies for this route, after those for all. */
  policies?: readonly PolicyConfig[] | undefined
}

/** One thing that is asked of requests. Each has a name, which refusals tell, and one kind. */
export type PolicyConfig = { readonly name: string; readonly routes?: readonly string[] | undefined } & (
  | { readonly authentication: AuthenticationConfig }
  | { readonly addresses: AddressesConfig }
  | { readonly rateLimit: RateLimitConfig }
  | { readonly budget: BudgetConfig }
  | { readonly allow: AllowConfig }
  | { readonly maxBody: number | string }
  | { readonly priority: PriorityConfig }
)

/** Callers show a token, as the key that their SDK sends. */
export interface AuthenticationConfig {
  readonly tokens: readonly {
    /** The caller's name in logs and limits. */
    readonly id: string
    /** `sha256:` and the hash in hexadecimal. */
    readonly hash: string
    /** From then on it is refused. */
    readonly expiresAt?: string | Date | undefined
    /** The routes that it is good for. @default all */
    readonly routes?: readonly string[] | undefined
  }[]
}

/** Addresses and CIDR ranges, IPv4 and IPv6; what is denied is so whatever is allowed. */
export interface AddressesConfig {
  readonly allow?: readonly string[] | undefined
  readonly deny?: readonly string[] | undefined
}

/** What each caller (or address, or all together) may ask. */
export interface RateLimitConfig extends Pick<Limit, 'requests' | 'tokens' | 'concurrency'> {
  readonly per?: number | string | undefined
  /** @default 'caller' */
  readonly by?: 'caller' | 'address' | 'route' | 'all' | undefined
}

/** What may be used each calendar day or month. */
export interface BudgetConfig extends Pick<Limit, 'requests' | 'tokens' | 'timeZone'> {
  readonly per: 'day' | 'month'
  /** @default 'caller' */
  readonly by?: 'caller' | 'address' | 'route' | 'all' | undefined
}

/** What may be asked for at all; `*` stands for anything in a path or a model's name. */
export interface AllowConfig {
  readonly methods?: readonly string[] | undefined
  readonly paths?: readonly string[] | undefined
  readonly models?: readonly string[] | undefined
}

/** Who is served first, and how many of one caller's requests go before another's turn. */
export interface PriorityConfig {
  /** Callers by class. @default 'auto' for those that are not named */
  readonly high?: readonly string[] | undefined
  readonly low?: readonly string[] | undefined
  /** So many requests at once wait for keys; the rest waits in turns, one of each caller. @default no turns */
  readonly slots?: number | undefined
}

/** Where to send alerts. */
export interface AlertConfig {
  readonly url: string
  /** Signs the body: `X-Keypool-Signature: sha256=…` (HMAC, hexadecimal, over the timestamp, a point and the body). */
  readonly secret?: string | undefined
  /** @default all */
  readonly events?: readonly AlertEvent[] | undefined
  /** The same alert is not told again for so long. @default '5m' */
  readonly quiet?: number | string | undefined
}

/** The events that alerts are sent of. */
export const ALERT_EVENTS = [
  'key-near-exhaustion',
  'key-exhausted',
  'key-disabled',
  'key-recovered',
  'pool-exhausted',
] as const
export type AlertEvent = (typeof ALERT_EVENTS)[number]
