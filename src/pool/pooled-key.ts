import type { Cause } from '../events.js'
import type { Secret } from '../secret.js'
import type { Endpoint } from './endpoint.js'
import type { LinkedList, ListItem } from './linked-list.js'
import type { HeapItem } from './min-heap.js'
import type { Quota } from './quota.js'

/** Whether a key is in use at all, apart from its quota. */
export type Standing =
  | { readonly state: 'enabled' }
  /** Switched off by the program, or past its `expiresAt`. */
  | { readonly state: 'disabled'; readonly cause: 'disabled' | 'expired'; readonly since: number }
  /** Refused by the server as invalid: one request at a time tries it again, from `probeAt` on. */
  | {
      readonly state: 'rejected'
      readonly since: number
      readonly status: number
      readonly failures: number
      readonly probeAt: number
    }
  | { readonly state: 'removed' }

/** Where the keyring has put a key. */
export type Place = 'ready' | 'timed' | 'held' | 'probe' | 'out'

/** A key with everything that is known about it, for its one pool. */
export class PooledKey implements HeapItem, ListItem<PooledKey> {
  readonly id: string
  /** Another one, once the program has brought a new value for the same key. */
  secret: Secret
  /** The one before, which a request in flight may still carry. */
  formerSecret: Secret | undefined
  /** The order in which keys were added. */
  readonly order: number
  quota: KeyQuota
  weight: number
  priority: number
  tags: readonly string[]
  /** In milliseconds since the epoch; `Infinity`: never. */
  expiresAt: number
  baseUrl: URL | undefined
  /** Its own endpoint, shared with all keys that have the same; `undefined`: it has none. */
  endpoint: Endpoint | undefined

  standing: Standing = ENABLED
  /** Whether the one request that tries a rejected key is on its way. */
  probing = false
  /** Whether this process may be the one that tries a rejected key, where several share it. */
  mayProbe: (() => boolean) | undefined
  inFlight = 0
  lastCause: Cause | undefined
  /** When the server last took it. */
  provenAt: number | undefined

  // The keyring's own marks: where the key is, and its links there.
  place: Place = 'out'
  /** Whether a `timed` key's quota is being tried, so that it may come back earlier. */
  isTried = false
  /** When a `timed` key is to be looked at again. */
  readyAt = 0
  /** The running sum of shares served, for the weighted strategy. */
  pass = 0
  heapIndex = -1
  list: LinkedList<PooledKey> | undefined
  before: PooledKey | undefined
  after: PooledKey | undefined

  constructor(
    settings: Pick<
      PooledKey,
      'id' | 'secret' | 'quota' | 'weight' | 'priority' | 'tags' | 'expiresAt' | 'baseUrl' | 'order'
    >,
  ) {
    this.id = settings.id
    this.secret = settings.secret
    this.quota = settings.quota
    this.weight = settings.weight
    this.priority = settings.priority
    this.tags = settings.tags
    this.expiresAt = settings.expiresAt
    this.baseUrl = settings.baseUrl
    this.order = settings.order
  }
}

/** A quota with the keys that share it. */
export type KeyQuota = Quota<PooledKey>

export const ENABLED: Standing = { state: 'enabled' }
