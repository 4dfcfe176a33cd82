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
    numbers.every(number => typeof number === 'number' && Number.isFinite(number)) &&
    (entry.body === null || entry.body instanceof Uint8Array) &&
    [entry.variant, entry.statusText, entry.url].every(text => typeof text === 'string') &&
    ['always', 'when-stale', 'may-be-stale'].includes(entry.revalidate as string) &&
    (entry.keyId === null || typeof entry.keyId === 'string') &&
    Array.isArray(entry.vary) &&
    entry.vary.every(name => typeof name === 'string') &&
    Array.isArray(entry.headers) &&
    entry.headers.every(
      pair => Array.isArray(pair) && pair.length === 2 && pair.every(text => typeof text === 'string'),
    )
  )
}
