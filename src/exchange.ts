import type { Clock } from './clock.js'
import type { AttemptTrace } from './events.js'
import type { Call } from './http/call.js'
import { isThenable } from './platform.js'

/** One call of the wrapped fetch on its way through the layers: what was asked, and what it has taken so far. */
export interface Exchange {
  /** What tells its events from those of other calls. */
  readonly id: string
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
  /** What came of each time, of the first ones. */
  readonly trace: AttemptTrace[]
  /** When it last began to wait for a key, or to back off. */
  waitingSince: number
  /** The name of what it shares its limits with; `''`: with all that a key may ask. */
  part: string
  /** The tokens that it was charged; `undefined`: no limit counts them. */
  tokens: number | undefined
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

/** A call at the beginning of its way. @param id - `''` where it is only looked at, and tells nothing */
export function newExchange(call: Call, signal: AbortSignal | undefined, startedAt: number, id = ''): Exchange {
  return {
    id,
    call,
    signal,
    startedAt,
    waited: 0,
    isWaiting: false,
    attempts: 0,
    trace: [],
    waitingSince: startedAt,
    part: '',
    tokens: undefined,
    keyId: null,
    fromCache: false,
    attended: true,
    exhausted: false,
    preferredKeyId: undefined,
    avoidedKeyId: undefined,
  }
}
