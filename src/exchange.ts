import type { Clock } from './clock.js'
import type { Call } from './http/call.js'
import { isThenable } from './platform.js'

/** One call of the wrapped fetch on its way through the layers: what was asked, and what it has taken so far. */
export interface Exchange {
  /** What is sent; the cache may add conditions to it. */
  call: Call
  /** The caller's signal, with the `total` timeout joined to it where there is one. */
  readonly signal: AbortSignal | undefined
  readonly startedAt: number
  /** Milliseconds spent waiting for keys. */
  waited: number
  /** Whether it waits for a key now, or was waiting for one when it failed. */
  isWaiting: boolean
  /** How many times it was sent. */
  attempts: number
  keyId: string | null
  fromCache: boolean
  /** Whether a caller waits for it; not so for a revalidation in the background. */
  readonly attended: boolean
  /** Whether the answer stands for an exhausted pool, and is not the server's. */
  exhausted: boolean
  /** Prefer this key, if it is usable: a validator goes back with the key that earned it. */
  preferredKeyId: string | undefined
  /** Prefer any other than this key, which has just failed. */
  avoidedKeyId: string | undefined
}

/** Adds what a call waits for something to what it has waited before; what is there at once costs nothing. */
export async function countingWait<Value>(
  exchange: Exchange,
  clock: Clock,
  start: () => Value | Promise<Value>,
): Promise<Value> {
  const value = start()
  if (!isThenable(value)) return value
  const from = clock.now()
  try {
    return await value
  } finally {
    exchange.waited += clock.now() - from
  }
}

/** A call at the beginning of its way. */
export function newExchange(call: Call, signal: AbortSignal | undefined, startedAt: number): Exchange {
  return {
    call,
    signal,
    startedAt,
    waited: 0,
    isWaiting: false,
    attempts: 0,
    keyId: null,
    fromCache: false,
    attended: true,
    exhausted: false,
    preferredKeyId: undefined,
    avoidedKeyId: undefined,
  }
}
