import { isFieldName } from './cache-key.js'
import type { CacheEntry, CacheRecord } from './cache-store.js'

/** Whether what a store gave back is what it was given: stores are other people's code, and keep what others wrote. */
export function isCacheRecord(value: unknown): value is CacheRecord {
  return Array.isArray(value) && value.every(isCacheEntry)
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
    (entry.body === null || entry.body instanceof Uint8Array) &&
    [entry.variant, entry.statusText, entry.url].every(text => typeof text === 'string') &&
    ['always', 'when-stale', 'may-be-stale'].includes(entry.revalidate as string) &&
    (entry.keyId === null || typeof entry.keyId === 'string') &&
    Array.isArray(entry.vary) &&
    entry.vary.every(isName) &&
    Array.isArray(entry.headers) &&
    entry.headers.every(pair => Array.isArray(pair) && pair.length === 2 && isName(pair[0]) && isValue(pair[1]))
  )
}

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
