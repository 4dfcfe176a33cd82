import type { CalendarPeriod } from './calendar.js'
/** Why a key, or a call, could not go on: one vocabulary for events, errors, snapshots and statistics. */
export type Cause = 'rate-limit' | 'quota' | 'overload' | 'invalid-key' | 'expired' | 'disabled'

/**
 * How much a refusal covers: the `key`; the `group` of keys that share one quota; the key for one `model` or route; the
 * `account`; one `resource` whatever the key; or everything from this `address`.
 */
export type RefusalScope = 'key' | 'group' | 'model' | 'account' | 'resource' | 'address'

/** A key was refused and will come back. */
export interface KeyExhaustedEvent {
  /** The call whose answer showed it, as in the call's own events; `null` where it was no call of this process. */
  readonly callId: string | null
  readonly keyId: string
  readonly cause: 'rate-limit' | 'quota'
  /** When the server says that it is back; `null` where the server did not say and it will be tried again in a while. */
  readonly until: Date | null
  readonly scope: RefusalScope
  /** The model, route or resource that it covers; `null`: all that the key may ask. */
  readonly part: string | null
  readonly status: number
  /**
   * What shows that the limit is not the key's own: the ids of other keys that were refused alike within moments, at most a
   * hundred. Then `scope` is `'account'`. Empty where nothing shows it.
   */
  readonly alike: readonly string[]
  /** There where it was another process that was refused: see `sharing`. */
  readonly elsewhere?: true
}

/** Little is left of one of a key's limits, declared or learnt, or it will be dry before its window ends. */
export interface KeyNearExhaustionEvent {
  /** The call whose answer showed it, as in the call's own events; `null` where it was no call of this process. */
  readonly callId: string | null
  readonly keyId: string
  /** The model or route whose limit it is; `null`: that of all that the key may ask. */
  readonly part: string | null
  /** What is counted: requests or tokens. */
  readonly unit: 'requests' | 'tokens'
  readonly remaining: number
  readonly limit: number
  /** The share of the limit that was crossed on the way down: 0.2, then 0.05; `null`: it is the forecast that tells. */
  readonly threshold: number | null
  /** When nothing will be left at the present rate; `null` where the window ends before that, or too little is known. */
  readonly dryAt: Date | null
  /** The window's length in milliseconds; `'day'` or `'month'` for a calendar window; `null` where nobody has said it. */
  readonly per: number | CalendarPeriod | null
}

/** A key that was exhausted, or refused as invalid, works again. */
export interface KeyRecoveredEvent {
  /** The call whose answer showed it, as in the call's own events; `null` where it was no call of this process. */
  readonly callId: string | null
  readonly keyId: string
  readonly cause: Cause
  /** The model or route for which it was away; `null`: for all. */
  readonly part: string | null
  /** How long it was away, in milliseconds. */
  readonly downFor: number
  /** There where it was another process that found out: see `sharing`. */
  readonly elsewhere?: true
}

/** Someone must act: a key was refused as invalid, has expired, or was disabled by the program. */
export interface KeyDisabledEvent {
  /** The call whose answer showed it, as in the call's own events; `null` where it was no call of this process. */
  readonly callId: string | null
  readonly keyId: string
  readonly cause: 'invalid-key' | 'expired' | 'disabled'
  /** The status that the server answered with, where a server said it. */
  readonly status: number | null
  /** When one request will be tried with it all the same; `null`: never by itself. */
  readonly probeAt: Date | null
  /** There where it was another process that met it: see `sharing`. */
  readonly elsewhere?: true
}

/** A request that was refused with one key goes on with another. */
export interface KeyRotatedEvent {
  /** The call that it belongs to: equal in all events of one call, and in no other's. */
  readonly callId: string
  /** The key that the request goes on with. */
  readonly keyId: string
  readonly previousKeyId: string
  readonly cause: Cause
  readonly method: string
  readonly url: string
}

/** A limit that is more than one key's: what it covers rests, whatever the key. */
export interface SharedRefusal {
  readonly cause: 'rate-limit' | 'quota' | 'overload'
  /** What the keys share: their account, as far as can be seen; a resource; or the address that they are used from. */
  readonly scope: RefusalScope
  /** The name of the resource, or of the model or route that they share; `null`: all that they may ask. */
  readonly name: string | null
  readonly since: Date
  /** When it is over, as the server says or as it is guessed. */
  readonly until: Date
  /** What shows it: the keys that were refused alike, at most a hundred. */
  readonly keyIds: readonly string[]
}

/** A request found no usable key in time, the first since a key was last usable. */
export interface PoolExhaustedEvent {
  /** The call that it belongs to: equal in all events of one call, and in no other's. */
  readonly callId: string
  /** When the first key will be back; `null` when none will by itself. */
  readonly retryAt: Date | null
  /** The limit that is more than one key's and kept it from being sent; `null`: each key has a cause of its own. */
  readonly shared: SharedRefusal | null
  /** Each key's own cause, `null` for one that was not refused itself; at most the first hundred keys. */
  readonly causes: readonly { readonly keyId: string; readonly cause: Cause | null; readonly until: Date | null }[]
}

/** A transient failure: the request will be sent again after `delay`. */
export interface RequestRetriedEvent {
  /** The call that it belongs to: equal in all events of one call, and in no other's. */
  readonly callId: string
  readonly keyId: string
  readonly method: string
  readonly url: string
  /** The retry's number, from 1. */
  readonly retry: number
  /** Milliseconds until it is sent again. */
  readonly delay: number
  /** The status that was answered; `null` when no answer came. */
  readonly status: number | null
  /** The failure's message where no answer came. */
  readonly error: string | null
}

/** One time that a call was sent: with which key, and what came of it. */
export interface AttemptTrace {
  readonly keyId: string
  /** Milliseconds that the call waited before it: for the key, and for the backoff of a retry. */
  readonly wait: number
  /** Milliseconds from the moment that the key was there to the answer, or to the failure. */
  readonly duration: number
  /** The status that was answered; `null` when no answer came. */
  readonly status: number | null
  /** What the answer was taken for that sent the call on, or blamed the key; `null`: it was the caller's answer. */
  readonly cause: Cause | null
  /** The name of the error when no answer came. */
  readonly error: string | null
}

/** A request was answered, or has failed for good. */
export interface RequestFinishedEvent {
  /** The call that it belongs to: equal in all events of one call, and in no other's. */
  readonly callId: string
  /** The key that the last attempt used; `null` where none was: from the cache, or never sent. */
  readonly keyId: string | null
  readonly method: string
  readonly url: string
  /** The status of the response; `null` when the call was rejected. */
  readonly status: number | null
  /** The name of the error that the call was rejected with. */
  readonly error: string | null
  /** How many times it was sent. */
  readonly attempts: number
  /** What came of each time, in order; at most the first hundred. */
  readonly trace: readonly AttemptTrace[]
  /** The model, route or resource that it shared limits with; `null`: all that a key may ask. */
  readonly part: string | null
  /**
   * The tokens that limits were charged for it so far: what was reserved, or what the answer's fields said that it took. When
   * its body tells another number at its end, `tokens-settled` says it. `null`: no limit counts tokens.
   */
  readonly tokens: number | null
  /** Milliseconds from the call to the response. */
  readonly duration: number
  /** How many of them it waited: for a key, for a refusal that came in slowly, or for an equal call that it joined. */
  readonly waited: number
  readonly fromCache: boolean
}

/** The body of an answer has said how many tokens the request took: that is what its limits are charged from now on. */
export interface TokensSettledEvent {
  /** The call that it belongs to: equal in all events of one call, and in no other's. */
  readonly callId: string
  readonly keyId: string
  /** The model, route or resource that it shared limits with; `null`: all that a key may ask. */
  readonly part: string | null
  readonly tokens: number
}

/** A response came out of the cache. */
export interface CacheHitEvent {
  /** The call that it belongs to: equal in all events of one call, and in no other's. */
  readonly callId: string
  readonly method: string
  readonly url: string
  /** Seconds since the origin made or confirmed it, as in the `Age` header. */
  readonly age: number
  /** How it was served. */
  readonly how: 'fresh' | 'revalidated' | 'stale' | 'joined'
}

/** The cache was asked and could not answer. */
export interface CacheMissedEvent {
  /** The call that it belongs to: equal in all events of one call, and in no other's. */
  readonly callId: string
  readonly method: string
  readonly url: string
  readonly why: 'absent' | 'stale' | 'bypassed' | 'changed'
}

/** What is shared with other processes can't be reached: this one goes on with its part of each limit. */
export interface SharingDegradedEvent {
  /** What went wrong. */
  readonly error: string
  /** How many processes there were when it was last known: each keeps to its part of what they share. */
  readonly processes: number
}

/** What is shared with other processes can be reached again. */
export interface SharingRestoredEvent {
  /** For how long it could not, in milliseconds. */
  readonly downFor: number
  readonly processes: number
}

/** Every event with its payload: plain objects, safe to log, dates as `Date`. */
export interface KeyPoolEvents {
  'key-exhausted': (event: KeyExhaustedEvent) => void
  'key-near-exhaustion': (event: KeyNearExhaustionEvent) => void
  'key-recovered': (event: KeyRecoveredEvent) => void
  'key-disabled': (event: KeyDisabledEvent) => void
  'key-rotated': (event: KeyRotatedEvent) => void
  'pool-exhausted': (event: PoolExhaustedEvent) => void
  'request-retried': (event: RequestRetriedEvent) => void
  'request-finished': (event: RequestFinishedEvent) => void
  'tokens-settled': (event: TokensSettledEvent) => void
  'cache-hit': (event: CacheHitEvent) => void
  'cache-missed': (event: CacheMissedEvent) => void
  'sharing-degraded': (event: SharingDegradedEvent) => void
  'sharing-restored': (event: SharingRestoredEvent) => void
}

/**
 * Sends an event to whoever listens.
 *
 * The payload is made only when someone does. A listener's error is thrown in a task of its own, as an uncaught
 * exception: it must not break the request or the pool.
 */
export type Emit = <Name extends keyof KeyPoolEvents>(
  name: Name,
  payload: () => Parameters<KeyPoolEvents[Name]>[0],
) => void
