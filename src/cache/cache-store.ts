/**
 * One stored response. Plain data but for the bytes of `body`: a store that keeps text must turn them into text and
 * back. An entry that comes back as something else is a miss. All times are in milliseconds.
 */
export interface CacheEntry {
  /** Tells the variants of one URL apart: what the response was selected by (RFC 9111 section 4.1). */
  readonly variant: string
  /** The request header fields that the response varies by, lower case; empty for most. */
  readonly vary: readonly string[]
  readonly status: number
  readonly statusText: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** The URL that the response came from, without any key. */
  readonly url: string
  /** What the live response said of itself; `'basic'` where an entry doesn't say it. */
  readonly type?: ResponseType | undefined
  /** Bytes, whatever the store made of them meanwhile; `null` for a response that has none (204, or to HEAD). */
  readonly body: Uint8Array | null
  /** When it was received or last confirmed, since the epoch, and how old it was then (RFC 9111 section 4.2.3). */
  readonly receivedAt: number
  readonly initialAge: number
  /** How old it may become and still be fresh. */
  readonly lifetime: number
  /** Whether it must be revalidated always, once it is stale, or may be served stale where there is reason to. */
  readonly revalidate: 'always' | 'when-stale' | 'may-be-stale'
  /** For how long past its lifetime it may be served while it is revalidated, and when that fails (RFC 5861). */
  readonly staleWhileRevalidate: number
  readonly staleIfError: number
  /** The id of the key that the response was got with: its validators go back with it where possible. */
  readonly keyId: string | null
}

/** What is stored under one key: all variants of one method and URL, the newest first. */
export type CacheRecord = readonly CacheEntry[]

/**
 * Where responses are kept. Methods may answer at once or with a promise; a failure counts as a miss, and so does
 * an answer that takes more than a second.
 *
 * Keys are strings without secrets: a method and a URL, with the hash of the body for POST.
 */
export interface CacheStore {
  /** Nothing, in whatever form, is a miss. */
  get(key: string): CacheRecord | null | undefined | Promise<CacheRecord | null | undefined>
  /** `ttl`: for how many milliseconds the record can be of use at all; the store may drop it after that, or before. */
  set(key: string, record: CacheRecord, ttl: number): unknown
  delete(key: string): unknown
}
