import type { CacheRecord, CacheStore } from '../cache/cache-store.js'
import { readRecord, writeRecord } from '../node/record-text.js'

/** What of a [Keyv](https://keyv.org) is used: any of its versions and backends has it. */
export interface KeyvLike {
  get(key: string): Promise<unknown>
  /** @param ttl - in milliseconds */
  set(key: string, value: string, ttl?: number): Promise<unknown>
  delete(key: string): Promise<unknown>
}

/**
 * A cache store on a Keyv, and so on SQLite, Redis, PostgreSQL, files or whatever else it has a backend for: the cache
 * outlives the process.
 *
 * Records are JSON; what comes back damaged, or of another version, is a miss, and is deleted. The Keyv stays yours: it
 * is never closed here, and tells of its backend's failures by its own `error` event.
 *
 * @example
 * cache: { store: keyvStore(new Keyv(new KeyvSqlite('sqlite://cache.sqlite'))) }
 */
export function keyvStore(keyv: KeyvLike): CacheStore {
  return {
    async get(key) {
      const value = await keyv.get(key)
      return value === undefined || value === null ? undefined : (readRecord(value) as CacheRecord)
    },
    set: (key, record, ttl) => keyv.set(key, writeRecord(record), Math.ceil(ttl)),
    delete: key => keyv.delete(key),
  }
}
