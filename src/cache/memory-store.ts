import { LRUCache } from 'lru-cache'
import type { CacheRecord, CacheStore } from './cache-store.js'

/** The responses that were used last, in memory, bounded by bytes and by entries. */
export function memoryStore(bounds: { maxBytes: number; maxEntries: number; now: () => number }): CacheStore {
  const records = new LRUCache<string, CacheRecord>({
    max: bounds.maxEntries,
    maxSize: bounds.maxBytes,
    sizeCalculation: sizeOf,
    // Its own clock is performance.now(), which would not agree with the times in the entries.
    perf: { now: bounds.now },
  })
  return {
    get: key => records.get(key),
    set(key, record, ttl) {
      records.set(key, record, { ttl: Math.max(1, Math.min(ttl, Number.MAX_SAFE_INTEGER)) })
    },
    delete(key) {
      records.delete(key)
    },
  }
}

/** Roughly what a record holds: bodies, headers and a fixed part for the objects around them, in bytes. */
function sizeOf(record: CacheRecord, key: string): number {
  let size = key.length * 2
  for (const entry of record) {
    size += 500 + (entry.body?.byteLength ?? 0) + entry.url.length * 2
    for (const [name, value] of entry.headers) size += (name.length + value.length) * 2 + 50
  }
  return size
}
