import { isFieldName } from './cache-key.js'
import type { CacheEntry, CacheRecord } from './cache-store.js'

/**
 * What a store gave back, if it is what it was given: stores are other people's code, and keep what others wrote.
 *
 * A body may come as another kind of bytes than went in, such as a `Buffer`, which lies somewhere in memory that others
 * use and whose `slice` makes no copy: here it becomes a plain view of itself.
 */
export function readCacheRecord(value: unknown): CacheRecord | undefined {
  if (!Array.isArray(value) || !value.every(isCacheEntry)) return undefined
  return value.every(({ body }) => body === null || isPlain(body)) ? value : value.map(withPlainBody)
}

function isPlain(body: Uint8Array): boolean {
  return Object.getPrototypeOf(body) === Uint8Array.prototype
}

function withPlainBody(entry: CacheEntry): CacheEntry {
  const { body } = entry
  return body === null ? entry : { ...entry, body: new Uint8Array(body.buffer, body.byteOffset, body.byteLength) }
}

function isCacheEntry(value: unknown): value is CacheEntry {
  if (typeof value !== 'object' || value === null) return false
  const entry = value as Record<keyof CacheEntry, unknown>
  const numbers = [
    entry.status,
    entry.receivedAt,
    entry.initialAge,
    entry.lifetime,
    entry.staleWhileRevalidate,
    entry.staleIfError,
  ]
  return (
    numbers.every(number => typeof number === 'number' && Number.isFinite(number) && number >= 0) &&
    isStatus(entry.status) &&
    (entry.body === null || ArrayBuffer.isView(entry.body)) &&
    [entry.variant, entry.statusText, entry.url].every(text => typeof text === 'string') &&
    (entry.type === undefined || TYPES.has(entry.type)) &&
    ['always', 'when-stale', 'may-be-stale'].includes(entry.revalidate as string) &&
    (entry.keyId === null || typeof entry.keyId === 'string') &&
    Array.isArray(entry.vary) &&
    entry.vary.every(isName) &&
    Array.isArray(entry.headers) &&
    entry.headers.every(pair => Array.isArray(pair) && pair.length === 2 && isName(pair[0]) && isValue(pair[1]))
  )
}

const TYPES: ReadonlySet<unknown> = new Set(['basic', 'cors', 'default', 'error', 'opaque', 'opaqueredirect'])

function isStatus(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 200 && (value as number) <= 599
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && isFieldName(value)
}

/** What `Headers` takes (Fetch standard, "header value"). */
function isValue(value: unknown): boolean {
  return typeof value === 'string' && !/[^\t\x20-\x7e\x80-\xff]/.test(value)
}
