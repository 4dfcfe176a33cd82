import type { Auth } from '../auth.js'
import type { Duration } from '../duration.js'
import type { BodyFacts } from './body-facts.js'

/**
 * How far a refusal reaches: the `key`; the key for one `model` (or route) only; the `account` that keys of one `group`
 * share; one `resource` whatever the key; the `address` that all keys are sent from; or the `provider` as a whole, and
 * then no key is to blame.
 */
export type Scope = 'key' | 'model' | 'account' | 'resource' | 'address' | 'provider'

/** What a response means for the key. `answer`: nothing, it is for the caller. */
export type Meaning = 'rate-limit' | 'quota' | 'overload' | 'invalid-key' | 'answer'

/** A response, as signals look at it. */
export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: BodyFacts
}

/** When it will be back: after a span, at the next midnight or first of a month, as a header says, or by a function (milliseconds). */
export type Wait =
  | Duration
  | { readonly next: 'day' | 'month'; readonly timeZone?: string | undefined }
  | { readonly header: string }
  | ((reply: Reply) => number | undefined)

/** One thing that a service says: all the conditions that are given must hold. */
export interface Signal {
  readonly status?: number | readonly number[] | undefined
  /** One of the body's codes (`error.code`, `error.type`, `status`, `reason`, …): the word itself, or a pattern for it. */
  readonly code?: string | RegExp | readonly (string | RegExp)[] | undefined
  /** A pattern for the body's text: only where no code tells. */
  readonly text?: RegExp | undefined
  /** Header fields with the value that they have, or a pattern for it. */
  readonly headers?: Readonly<Record<string, string | RegExp>> | undefined
  readonly means: Meaning
  /** How far it reaches. @default the provider's `limitScope` for rate limits and quotas, 'key' else */
  readonly scope?: Scope | undefined
  /** When it will be back where the response doesn't say it. */
  readonly wait?: Wait | undefined
  /** `false`: what the response says of when to come back is not true here. @default true */
  readonly hints?: boolean | undefined
}

/**
 * What requests share a limit: those of one key (`'key'`), of one key and model (`'model'`), of one key, method and path
 * (`'route'`), or those for which a function gives the same name.
 */
export type LimitedBy =
  | 'key'
  | 'model'
  | 'route'
  | ((request: { method: string; url: string; body: string | null }) => string)

/** Header fields of an answer that tell of a limit, where their names are not those that everyone uses. */
export interface LimitFields {
  readonly unit: 'requests' | 'tokens'
  readonly limit?: string | number | undefined
  readonly remaining: string
  /** A field with a moment or a span until more is there. */
  readonly reset?: string | undefined
  /** The window: a duration, or a field that says it (in milliseconds where its name ends so, else in seconds). */
  readonly per?: Duration | { readonly header: string } | undefined
}

/** Makes the body of an error as a service itself would, so that its SDK raises the error of its own that fits. */
export type ErrorShape = (error: {
  readonly message: string
  readonly status: number
  readonly type: string
  /** In seconds; `null`: nobody knows. */
  readonly retryAfter: number | null
}) => unknown

/**
 * How a service takes keys, and how it says "limited", "out of quota", "overloaded" and "bad key".
 *
 * Signals are looked through in order, and the first that fits decides; where none does, the general reader does, which
 * knows the standard fields and the common shapes of errors.
 */
export interface Provider {
  /** For messages and logs. */
  readonly name: string
  /** Where keys may travel, unless `origins` says it. */
  readonly origins?: string | readonly string[] | undefined
  /** How a request carries its key, unless `auth` says it. @default 'bearer' */
  readonly auth?: Auth | undefined
  /** Header fields that the service demands, for requests that don't have them. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** What requests share a limit, unless `scope` says it. @default 'key' */
  readonly scope?: LimitedBy | undefined
  /** What a refusal of scope `'resource'` closes, whatever the key. @default what requests share a limit by: see `scope` */
  readonly resource?: LimitedBy | undefined
  /** How far a refusal reaches where its signal doesn't say. @default 'key' */
  readonly limitScope?: Scope | undefined
  readonly signals?: readonly Signal[] | undefined
  /** The body of the pool's own 429 and 401. @default problem details (RFC 9457), with the members that most clients read */
  readonly errorShape?: ErrorShape | undefined
  /** Query parameters that carry credentials of a caller's own; headers that do are known. */
  readonly credentialParameters?: readonly string[] | undefined
  readonly fields?: readonly LimitFields[] | undefined
}
