import type { Cause, SharedRefusal } from './events.js'

/** The codes of this library's errors; they do not change between versions. */
export type KeypoolErrorCode =
  | 'ERR_POOL_EXHAUSTED'
  | 'ERR_INVALID_OPTION'
  | 'ERR_BODY_NOT_REPLAYABLE'
  | 'ERR_COST_EXCEEDS_LIMIT'
  | 'ERR_KEYS_UNAVAILABLE'
  | 'ERR_TIMEOUT'
  | 'ERR_INVALID_RESPONSE'
  | 'ERR_UNSUPPORTED_PLATFORM'
  | 'ERR_UNKNOWN_KEY'
  | 'ERR_CLOSED'
  | 'ERR_CONFIG'
  | 'ERR_ADDRESS_NOT_ALLOWED'

// Two copies of the package in one program have two classes of the same name: this mark is the same in both.
const MARK: unique symbol = Symbol.for('fetch-keypool.error') as never

/** The base of every error that this library makes: `code` says which, `cause` keeps what was underneath. */
export class KeypoolError extends Error {
  /** Stable, for programs: `error.code === 'ERR_POOL_EXHAUSTED'`. */
  readonly code: KeypoolErrorCode
  readonly [MARK] = true

  constructor(code: KeypoolErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'KeypoolError'
    this.code = code
  }

  /** Recognises the library's errors, from whichever copy of the package they come; narrows to one code if given. */
  static is(error: unknown, code: 'ERR_POOL_EXHAUSTED'): error is KeyPoolExhaustedError
  static is(error: unknown, code: 'ERR_INVALID_OPTION'): error is InvalidOptionError
  static is(error: unknown, code?: KeypoolErrorCode): error is KeypoolError
  static is(error: unknown, code?: KeypoolErrorCode): boolean {
    if (typeof error !== 'object' || error === null || !(MARK in error)) return false
    return code === undefined || (error as KeypoolError).code === code
  }
}

/** Why one key could not serve, as an exhausted pool tells it. */
export interface KeyCause {
  readonly keyId: string
  /** `null`: the key is in order: busy, at its limits, or not tried, as `shared` keeps all of them back. */
  readonly cause: Cause | null
  /** When it comes back; `null` when nobody knows, or someone must act. */
  readonly until: Date | null
}

/** No key became usable within `maxWait`: `ERR_POOL_EXHAUSTED`. */
export class KeyPoolExhaustedError extends KeypoolError {
  /** When the first key will be back; `null` when none will by itself. */
  readonly retryAt: Date | null
  /** Each key's own cause; at most the first hundred keys. */
  readonly causes: readonly KeyCause[]
  /** The limit that is more than one key's and kept the request from being sent; `null`: each key has a cause of its own. */
  readonly shared: SharedRefusal | null
  /** The server's last refusal of this very request, unread; `null` if it was not sent. */
  response: Response | null

  constructor(
    message: string,
    retryAt: Date | null,
    causes: readonly KeyCause[],
    shared: SharedRefusal | null = null,
    response: Response | null = null,
  ) {
    super('ERR_POOL_EXHAUSTED', message)
    this.name = 'KeyPoolExhaustedError'
    this.retryAt = retryAt
    this.causes = causes
    this.shared = shared
    this.response = response
  }
}

/** An option has a value that can't be meant: `ERR_INVALID_OPTION`. */
export class InvalidOptionError extends KeypoolError {
  /** Where it is: `limits[0].per`, `keys[2].id`. */
  readonly option: string
  /** What would have been right. */
  readonly expected: string
  /** What came, described; never a key's value. */
  readonly received: string

  constructor(option: string, expected: string, received: string) {
    super('ERR_INVALID_OPTION', `Option '${option}': expected ${expected}, got ${received}.`)
    this.name = 'InvalidOptionError'
    this.option = option
    this.expected = expected
    this.received = received
  }
}

/** `timeout` ran out before an answer came: `ERR_TIMEOUT`; named `TimeoutError`, as `AbortSignal.timeout()` names its own. */
export class KeypoolTimeoutError extends KeypoolError {
  constructor(message: string) {
    super('ERR_TIMEOUT', message)
    this.name = 'TimeoutError'
  }
}
