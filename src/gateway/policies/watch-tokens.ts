import { systemClock } from '../../clock.js'
import { bodyWatcher } from '../../http/lazy-response.js'
import { mayTellUsage, UsageReader, usageInFields } from '../../signals/usage.js'
import { NOTHING_SPENT, type Spent } from './policy.js'

const watch = bodyWatcher(systemClock())

/** What is known of a request beside its answer. */
export interface Asked {
  readonly method: string
  /** Whether the answer came out of the pool's own cache. */
  readonly fromCache: boolean
}

/** A response that is looked at for tokens on its way. */
export interface WatchedResponse {
  readonly response: Response
  /** What was told till now, for whoever gives up before the end. */
  spentSoFar(): Spent
}

/**
 * The same response, and what it took once it is over: read to its end, cut off, cancelled, or dropped by everybody.
 *
 * @param end - called once
 */
export function watchTokens(response: Response, asked: Asked, end: (spent: Spent) => void): WatchedResponse {
  const { headers, ok } = response
  // What comes out of a cache, of the pool or on the way, took none; nor does what is refused, or only reads.
  const isFree = asked.fromCache || headers.has('age') || !ok || asked.method === 'GET' || asked.method === 'HEAD'
  const said = usageInFields(headers)
  const reader = said === undefined && mayTellUsage(headers) ? new UsageReader(headers) : undefined
  const told = (isWhole: boolean): Spent => {
    if (asked.fromCache || headers.has('age')) return NOTHING_SPENT
    const tokens = said ?? reader?.total
    if (tokens !== undefined && (isWhole || isFree || said !== undefined)) return { kind: 'known', tokens }
    return isFree ? NOTHING_SPENT : { kind: 'unknown', atLeast: tokens ?? 0 }
  }
  if (!response.body) {
    const spent = said === undefined ? NOTHING_SPENT : told(true)
    end(spent)
    return { response, spentSoFar: () => spent }
  }
  const watched = watch(response, {
    ...(reader ? { chunk: (bytes: Uint8Array) => reader.read(bytes) } : {}),
    whole: () => end(told(true)),
    cut: () => end(told(false)),
  })
  return { response: watched, spentSoFar: () => told(false) }
}
