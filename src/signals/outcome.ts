import type { Scope } from './provider.js'

/** Why something is refused that will be there again. */
export type RefusalCause = 'rate-limit' | 'quota' | 'overload'

/** What an attempt came to. */
export type Outcome =
  /** For the caller: a success, or an error that is the request's own. */
  | { readonly kind: 'answer'; readonly response: Response }
  /** The key, or its quota, is used up for now; or a resource is overloaded, whatever the key. */
  | {
      readonly kind: 'refused'
      readonly cause: RefusalCause
      readonly scope: Scope
      /** In milliseconds; `undefined`: the server doesn't say. */
      readonly wait: number | undefined
      /** Whether it speaks of tokens: a rate of them is never one of a day. */
      readonly ofTokens: boolean
      readonly response: Response
    }
  /** The key is not, or no longer, good. */
  | { readonly kind: 'invalid-key'; readonly response: Response }
  /** The server is in trouble: no fault of the key, nor of the request. */
  | {
      readonly kind: 'trouble'
      readonly cause: 'overload' | undefined
      readonly wait: number | undefined
      readonly response: Response
    }

/** What came of an attempt that got no answer. */
export interface Failure {
  readonly kind: 'failed'
  readonly error: unknown
}
