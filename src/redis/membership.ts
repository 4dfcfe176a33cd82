import { randomUUID } from 'node:crypto'
import type { CacheStore } from '../cache/cache-store.js'
import type { News } from '../pool/news.js'
import type { KeyQuota, PooledKey } from '../pool/pooled-key.js'
import type { Membership, SharedPool } from '../sharing.js'
import { Division } from './division.js'
import { RedisLink } from './link.js'
import { Names } from './names.js'
import type { RedisClient } from './redis-client.js'
import { SharedCache } from './shared-cache.js'
import { States } from './states.js'

export interface MembershipOptions {
  readonly client: RedisClient
  readonly prefix: string
  /** What pools have in common that share. */
  readonly name: string | undefined
  readonly cache: boolean
  /** How many processes there are taken to be while Redis has never told. */
  readonly processes: number
}

/** After a failure Redis is asked again so soon, in milliseconds, then after twice as long each time. */
const RETRY = { first: 100, longest: 1_000 }

/** A process that takes part: what it shares works, or it stands alone till it works again. */
type Standing =
  | { readonly state: 'joining' | 'sharing' | 'closed' }
  | { readonly state: 'alone'; readonly since: number; readonly failures: number }

/** Takes part in what processes share over Redis: limits, the state of keys, the cache. */
export function joinOverRedis(pool: SharedPool, options: MembershipOptions): Membership {
  const me = randomUUID()
  const names = new Names(options.prefix, options.name ?? pool.purpose)
  const link = new RedisLink(options.client, names.channel, () => pool.clock.now())
  const states = new States({ pool, link, names, me, failed })
  const division = new Division({ pool, link, names, me, processes: options.processes, synced, failed })
  const cache = options.cache
    ? new SharedCache({ link, names, me, now: () => pool.clock.now(), isUp: () => standing.state === 'sharing' })
    : undefined
  let standing: Standing = { state: 'joining' }
  let retry: NodeJS.Timeout | undefined
  let joined!: () => void
  const joining = new Promise<void>(resolve => {
    joined = resolve
  })

  link.listen(
    message => {
      switch (message.kind) {
        case 'nudge':
          if (message.to.includes(me)) division.nudged()
          break
        case 'news':
          if (message.from !== me) states.heard(message.field, message.news)
          break
        case 'drop':
          if (message.from !== me) cache?.dropped(message.key)
          break
      }
    },
    () => {
      // What was told while nobody listened.
      cache?.missedNews().catch(failed)
      states.readAll().catch(failed)
    },
    failed,
  )
  // In a task of its own: the pool that joins is not made yet.
  queueMicrotask(() => void begin())

  async function begin(): Promise<void> {
    try {
      await division.sync()
      await states.readAll()
    } catch (error) {
      failed(error)
    }
    joined()
  }

  function synced(): void {
    if (standing.state === 'closed') return
    const before = standing
    standing = { state: 'sharing' }
    if (before.state !== 'alone') return
    clearTimeout(retry)
    states.tellRest()
    cache?.tellRest().catch(failed)
    states.readAll().catch(failed)
    const downFor = pool.clock.now() - before.since
    pool.emit('sharing-restored', () => ({ downFor, processes: division.processes }))
  }

  function failed(error: unknown): void {
    if (standing.state === 'closed') return
    const isNew = standing.state !== 'alone'
    const now = pool.clock.now()
    standing =
      standing.state === 'alone'
        ? { ...standing, failures: standing.failures + 1 }
        : { state: 'alone', since: now, failures: 0 }
    division.standAlone()
    if (isNew) {
      const message = error instanceof Error ? error.message : String(error)
      pool.emit('sharing-degraded', () => ({ error: message, processes: division.processes }))
    }
    joined()
    clearTimeout(retry)
    const wait = Math.min(RETRY.longest, RETRY.first * 2 ** (standing as { failures: number }).failures)
    retry = setTimeout(() => void division.sync().catch(failed), wait)
    retry.unref()
  }

  return {
    ready: () => (standing.state === 'joining' ? joining : undefined),
    added(key: PooledKey) {
      states.added(key)
      division.added(key)
    },
    removed(key: PooledKey) {
      states.removed(key)
      division.removed(key)
    },
    taken: (quota: KeyQuota) => division.taken(quota),
    waiting: () => division.waiting(),
    tell: (key: PooledKey, news: News) => states.tell(key, news),
    cacheStore: (createMemory: () => CacheStore) => cache?.store(createMemory),
    async close() {
      if (standing.state === 'closed') return
      const wasSharing = standing.state === 'sharing'
      standing = { state: 'closed' }
      clearTimeout(retry)
      await division.leave(wasSharing)
      link.close()
    },
  }
}
