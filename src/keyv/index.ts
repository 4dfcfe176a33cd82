import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { CacheEntry, CacheRecord, CacheStore } from '../cache/cache-store.js'

/** What of a [Keyv](https://keyv.org) is used: any of its versions and backends has it. */
export interface KeyvLike {
  get(key: string): Promise<unknown>
  /** @param ttl - in milliseconds */
  set(key: string, value: string, ttl?: number): Promise<unknown>
  delete(key: string): Promise<unknown>
}

/** An entry as text: its body in base64. */
type Written = Omit<CacheEntry, 'body'> & { readonly body: string | null }

/** Changes with the form of what is written: what another version wrote is a miss. */
const VERSION = 1

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
      return value === undefined || value === null ? undefined : (read(value) as CacheRecord)
    },
    set: (key, record, ttl) => keyv.set(key, write(record), Math.ceil(ttl)),
    delete: key => keyv.delete(key),
  }
}

function write(record: CacheRecord): string {
  const entries: Written[] = record.map(({ body, ...entry }) => ({
    ...entry,
    body: body && Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64'),
  }))
  const text = JSON.stringify(entries)
  return JSON.stringify({ version: VERSION, digest: digestOf(text), entries: text })
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}

/** What was written; anything else as it came, which the cache sees to be no record. */
function read(value: unknown): unknown {
  if (typeof value !== 'string') return value
  const written = parse(value) as { version?: unknown; digest?: unknown; entries?: unknown } | null | undefined
  const text = written?.entries
  if (written?.version !== VERSION || typeof text !== 'string' || written.digest !== digestOf(text)) return value
  return (parse(text) as Written[]).map(({ body, ...entry }) => {
    return { ...entry, body: body === null ? null : new Uint8Array(Buffer.from(body, 'base64')) }
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Not written here, or cut short: the caller looks at what it is.
    return undefined
  }
}
