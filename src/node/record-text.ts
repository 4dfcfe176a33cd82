import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { CacheEntry, CacheRecord } from '../cache/cache-store.js'

/** An entry as text: its body in base64. */
type Written = Omit<CacheEntry, 'body'> & { readonly body: string | null }

/** Changes with the form of what is written: what another version wrote is a miss. */
const VERSION = 1

/** A record as text, for stores that keep text. */
export function writeRecord(record: CacheRecord): string {
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

/** What was written; anything else as it came, which the cache sees to be no record: cut short, or of another version. */
export function readRecord(value: unknown): unknown {
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
