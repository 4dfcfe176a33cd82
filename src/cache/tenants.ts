import type { Call } from '../http/call.js'

/** Whose answers are whose: of all keys alike (the empty name), or of the keys of one group. */
export interface Tenants {
  /** That of a call which is about to be made. */
  of(call: Call): string
  /** That of the key which a call was made with. */
  ofKey(keyId: string | null): string
}

export const ONE_TENANT: Tenants = { of: () => '', ofKey: () => '' }
