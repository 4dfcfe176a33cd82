import type { CacheStore } from './cache/cache-store.js'
import type { Clock } from './clock.js'
import type { Emit } from './events.js'
import type { Demand } from './pool/demand.js'
import type { News } from './pool/news.js'
import type { KeyQuota, PooledKey } from './pool/pooled-key.js'

/** What lets several processes keep the limits of the same keys together; made by `redisSharing` of `fetch-keypool/redis`. */
export interface Sharing {
  /** Takes part for one pool. @internal */
  join(pool: SharedPool): Membership
}

/** A pool, as what it shares with others needs it. @internal */
export interface SharedPool {
  readonly clock: Clock
  readonly emit: Emit
  /** What pools have in common that share: the origins. */
  readonly purpose: string
  keys(): Iterable<PooledKey>
  /** How many requests wait, and what the first of them asks. */
  readonly waiting: number
  readonly firstInLine: Demand | undefined
  /** Something about a quota has changed that may let requests pass. */
  changed(quota: KeyQuota): void
  /** Another process has found something out about a key. */
  hear(key: PooledKey, news: News): void
  /** How many processes are at work, and the place of this one among them, from 0. */
  crew(size: number, rank: number): void
}

/** The part that one pool takes in what is shared. @internal */
export interface Membership {
  /** Settles when it is known what there is to know before the first request; `undefined`: it is. Never rejects. */
  ready(): Promise<void> | undefined
  /** A key has come in. */
  added(key: PooledKey): void
  /** A key has gone. */
  removed(key: PooledKey): void
  /** A permit of a quota was taken. */
  taken(quota: KeyQuota): void
  /** Requests have begun to wait. */
  waiting(): void
  /** This process has found something out about a key. */
  tell(key: PooledKey, news: News): void
  /** The store that all processes share, with such a one in memory in front of it; `undefined`: each has its own. */
  cacheStore(createMemory: () => CacheStore): CacheStore | undefined
  /** Gives back what it holds, and leaves nothing behind that would keep the process. */
  close(): Promise<void>
}
