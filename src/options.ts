import type { Auth } from './auth.js'
import type { CacheStore } from './cache/cache-store.js'
import type { CalendarPeriod } from './calendar.js'
import type { Duration } from './duration.js'
import type { KeySnapshot } from './key-snapshot.js'
import type { RequestSummary } from './request-summary.js'
import type { Sharing } from './sharing.js'
import type { LimitedBy, Provider } from './signals/provider.js'
import type { ProviderName } from './signals/providers/index.js'

/** What {@link wrapFetch} takes. */
export interface Options {
  /**
   * Where the keys may travel: requests to these origins are pooled, all others pass through untouched.
   *
   * `'*'` pools every http(s) request: use it only where nothing but your API is called.
   * @default the provider's own; required without one
   * @example 'https://api.example.com'
   */
  origins?: string | readonly string[] | '*' | undefined
  /**
   * The service behind the origins, by name, or described in the same words: how it takes keys, and how it says
   * "limited", "out of quota", "overloaded" and "bad key". Without it, that is read from what services have in common.
   * @example 'openai'
   */
  provider?: ProviderName | Provider | undefined
  /**
   * Which requests share a limit of a key: all of them (`'key'`), those for one `'model'` (in a JSON body or the path),
   * those to one `'route'` (method and path), or those for which a function gives the same name. A refusal then rests
   * the key for these requests only. @default the provider's own, else 'key'
   */
  scope?: LimitedBy | undefined
  /** The keys, or a function that brings them; the function is asked again on `pool.refresh()`. */
  keys: readonly KeyInput[] | (() => readonly KeyInput[] | Promise<readonly KeyInput[]>)
  /** How a request carries its key. @default the provider's own, else 'bearer' */
  auth?: Auth | undefined
  /** The limits of each key; several at once are an array, and all of them hold. A key's own `limits` replace them. @default none */
  limits?: Limit | readonly Limit[] | undefined
  /** Which of the usable keys serves a request. @default 'weighted' if some key has a `weight`, else 'least-loaded' */
  strategy?: StrategyName | Strategy | undefined
  /** How often a transient failure is tried again, or how in detail; `false`: never. Going on with another key is no retry. @default 2 */
  retry?: number | RetryOptions | false | undefined
  /** The cache (RFC 9111, private): off, on, or on with options. @default true */
  cache?: boolean | CacheOptions | undefined
  /**
   * The longest that a request waits for a key, all its waits together.
   * @default '60s', or a little more than the longest declared window of up to ten minutes, if that is longer
   */
  maxWait?: Duration | undefined
  /**
   * What a call gets when no key became usable in time: a `KeyPoolExhaustedError`, or a 429 response with
   * `Retry-After` that SDKs understand (the server's own last refusal, where there was one). @default 'throw'
   */
  onExhausted?: 'throw' | 'respond' | undefined
  /**
   * How long to wait for an answer: for the whole call (a duration, or `total`), waits and retries included, and for
   * each `attempt`. Both end when the response's headers are there. After that a body may take as long as it likes, but
   * while somebody reads it, no longer than `body` from one part to the next. What comes too late fails with a
   * `TimeoutError` (`ERR_TIMEOUT`). @default none
   */
  timeout?:
    | Duration
    | { attempt?: Duration | undefined; total?: Duration | undefined; body?: Duration | undefined }
    | undefined
  /**
   * How much of the body of a `Request` is kept in memory while it is sent, so that it can be sent again with another key.
   * Bodies that are given with a URL (text, bytes, forms, blobs) can always be sent again, streams never.
   * @default { maxBytes: 16 MiB }
   */
  replay?: ReplayOptions | undefined
  /**
   * Puts stars in the place of a key's value where a service gives it back in a response (in its headers or its body, plain
   * or encoded), for programs that hand responses on to others. @default false
   */
  hideKeys?: boolean | undefined
  /**
   * Takes the rate limit headers of one key (`x-ratelimit-remaining` and its kind) off responses, for clients that throttle
   * themselves by them (discord.js): they would slow the whole pool down to that key. @default false
   */
  hideRateLimitHeaders?: boolean | undefined
  /** When it is told that a key is nearly exhausted. @default at 20% and 5%, and ten minutes ahead */
  alert?: AlertOptions | undefined
  /** Is told of every event, at a level that fits: exhausted keys as warnings, disabled ones as errors, requests as debug. @default none */
  logger?: Logger | undefined
  /**
   * Keeps the limits, the state of the keys and the cache together with other processes that use the same keys.
   * @default none: this process is the only one
   * @example redisSharing({ client: new Redis(url) }) // of 'fetch-keypool/redis'
   */
  sharing?: Sharing | undefined
}

/** How request bodies are kept so that they can be sent again. */
export interface ReplayOptions {
  /** The largest body that is kept, in bytes; 0 keeps none. A larger one is sent once. @default 16 MiB */
  maxBytes?: number | undefined
}

/** When `key-near-exhaustion` is told. */
export interface AlertOptions {
  /** At which shares of what is left. @default [0.2, 0.05] */
  remaining?: readonly number[] | undefined
  /** How long before a limit runs dry at the present rate, where that is before its window ends. @default '10m' */
  ahead?: Duration | undefined
  /** How long nothing more is told of the same threshold of the same limit; a lower one is told at once. @default '1m' */
  quiet?: Duration | undefined
}

/** What takes log lines: `console`, pino, and whatever else has these four. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  /** Where there is one, it is asked before a line is made. */
  isLevelEnabled?(level: string): boolean
}

/** One key: its value alone, or with what is to be known about it. */
export type KeyInput = string | KeyOptions

/** A key with what is to be known about it. */
export interface KeyOptions {
  /** The secret itself. It is sent to the key's own origin and appears nowhere else. */
  value: string
  /** The key's name in events, errors and snapshots. @default 'key-1', 'key-2', … */
  id?: string | undefined
  /** Keys of one group share one quota: one set of limits, one cooldown. */
  group?: string | undefined
  /** Its share of the requests, relative to the others, under the `weighted` strategy. @default 1 */
  weight?: number | undefined
  /** Keys of a higher priority are used before those of a lower. @default 0 */
  priority?: number | undefined
  /** Its own limits, instead of the pool's. */
  limits?: Limit | readonly Limit[] | undefined
  /** From then on the key is not used any more. */
  expiresAt?: Date | undefined
  /** Its own endpoint: requests for the first origin go there when this key is chosen, and the key goes nowhere else. */
  baseUrl?: string | undefined
  /** Words of your own, for snapshots and strategies. */
  tags?: readonly string[] | undefined
}

/** One limit of a key; the parts that are given all hold. */
export interface Limit {
  /** Requests for each `per`. */
  requests?: number | undefined
  /** Tokens, or any other unit that `cost` counts in, for each `per`. */
  tokens?: number | undefined
  /** The window: a duration that slides, or an `'hour'`, `'day'`, `'week'` (from Monday) or `'month'` of the calendar in `timeZone`. */
  per?: Duration | CalendarPeriod | undefined
  /** The IANA time zone of a calendar window, such as `'America/Los_Angeles'`. @default 'UTC' */
  timeZone?: string | undefined
  /**
   * The size of a bucket that refills at `requests` (or `tokens`) for each `per`. Without it the limit is strict:
   * never more than `requests` in any stretch of `per`.
   */
  burst?: number | undefined
  /** Requests at once. One counts until its response's body has been received, or is cancelled. */
  concurrency?: number | undefined
  /** What a request costs in `tokens`. It can't wait, and should not read the body. @default 1 each */
  cost?: ((request: Request) => number) | undefined
  /**
   * Whether the tokens that a response says it took replace what `cost` had reserved; `false` for a unit of your own.
   * @default true, unless a response took more than the whole limit
   */
  settle?: boolean | undefined
}

/** How the pool chooses between usable keys. */
export type StrategyName = 'least-loaded' | 'round-robin' | 'weighted' | 'fill-first' | 'random'

/** A choice of your own: gets the keys that are usable now (never none), gives the `id` of one of them. */
export type Strategy = (usable: readonly KeySnapshot[], request: RequestSummary) => string

/** How transient failures are retried: 5xx answers, 408, 425, failed connections, attempts that timed out. */
export interface RetryOptions {
  /** How often at most. @default 2 */
  retries?: number | undefined
  /**
   * The methods that are safe to send twice. A request with an `Idempotency-Key` header is so under any method.
   * @default GET HEAD OPTIONS PUT DELETE TRACE
   */
  methods?: readonly string[] | undefined
  /** The statuses that are worth another try. @default 408, 425 and all 5xx but 501, 505, 506, 508, 510, 511 */
  statuses?: readonly number[] | undefined
  /** The first backoff; each further one is `factor` times as long, less up to a half at random. @default '500ms' */
  minDelay?: Duration | undefined
  /** The longest backoff. A `Retry-After` that is longer is honoured up to `maxWait`. @default '30s' */
  maxDelay?: Duration | undefined
  /** @default 2 */
  factor?: number | undefined
  /**
   * How many retries all calls of the pool have together while nothing succeeds; `false`: no bound. Each second gives one
   * back, and five successful calls another. A call that has none left is given what it failed with. @default 50
   */
  budget?: number | false | undefined
  /** A last word of your own on each failure that is about to be retried. */
  shouldRetry?: ((failure: RetryContext) => boolean | Promise<boolean>) | undefined
}

/** A failure that is about to be retried. */
export interface RetryContext {
  readonly method: string
  /** The URL, without any key. */
  readonly url: string
  /** The retry's number, from 1. */
  readonly retry: number
  /** The answer's status; `null` when none came. */
  readonly status: number | null
  /** What went wrong where no answer came. */
  readonly error: unknown
}

/** How responses are cached. */
export interface CacheOptions {
  /**
   * How long a successful response is fresh that says nothing about its own freshness, as most APIs' don't.
   * What a response says itself always wins. @default none
   */
  ttl?: Duration | undefined
  /** The methods that are cached; with `'POST'`, by a hash of the body, and only where posting is idempotent. @default GET HEAD */
  methods?: readonly ('GET' | 'HEAD' | 'POST')[] | undefined
  /** Which requests may be answered from the cache or stored; all of `methods` by default. */
  only?: ((request: RequestSummary) => boolean) | undefined
  /**
   * Who shares responses: the keys of the whole `'pool'`, or those of each `'group'` among themselves (a key without a
   * group alone), where their answers differ. @default 'pool'
   */
  tenants?: 'pool' | 'group' | undefined
  /** Where responses are kept. @default memory, bounded by `maxBytes` and `maxEntries` */
  store?: CacheStore | undefined
  /** The memory store's bound in bytes. @default 50 MiB */
  maxBytes?: number | undefined
  /** The memory store's bound in entries. @default 1000 */
  maxEntries?: number | undefined
  /** The largest body that is stored, in bytes; a larger one streams by. @default 5 MiB */
  maxBodyBytes?: number | undefined
  /** A stale response is served for so long while it is revalidated in the background, even if it doesn't ask for that (RFC 5861). @default '0ms' */
  staleWhileRevalidate?: Duration | undefined
  /** A stale response is served for so long when there is no answer or a 5xx, or no key is left, even if it doesn't ask for that (RFC 5861). @default '0ms' */
  staleIfError?: Duration | undefined
}
