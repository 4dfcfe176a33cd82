import type { Call } from '../http/call.js'
import { concat } from '../http/call-body.js'
import { hasNullBody, watchBody, withFacts } from '../http/response.js'
import { type CacheKeys, varyOf } from './cache-key.js'
import type { CacheEntry, CacheRecord, CacheStore } from './cache-store.js'
import { ageOf, type FreshnessDefaults, freshnessOf, hasValidator, usefulFor } from './freshness.js'
import { storableHeaders, updatedHeaders } from './reuse.js'
import type { Flight } from './single-flight.js'

/** How many variants of one URL are kept. */
const VARIANTS = 16

export interface ResponseCacheOptions {
  readonly store: CacheStore
  readonly keys: CacheKeys
  readonly defaults: FreshnessDefaults
  readonly maxBodyBytes: number
  now(): number
  /** The store has failed; the request goes on without it. */
  storeFailed(error: unknown): void
}

/** What a response was got by. */
export interface Provenance {
  readonly call: Call
  readonly key: string
  readonly keyId: string | null
  readonly requestedAt: number
}

/** Puts responses into the store and takes them out, and turns them into entries and back. */
export class ResponseCache {
  readonly #options: ResponseCacheOptions

  constructor(options: ResponseCacheOptions) {
    this.#options = options
  }

  /** The stored response for a call, if there is one. */
  async find(key: string, call: Call): Promise<CacheEntry | undefined> {
    const record = await this.#read(key)
    return record && this.#options.keys.select(record, call)
  }

  /**
   * The response for the caller, stored on its way where it may be. It is never held back: what is to be stored is
   * copied as it streams by, and let go of when it grows too large.
   */
  async keep(response: Response, from: Provenance, flight: Flight): Promise<Response> {
    const entry = await this.#entryFor(response, from)
    if (!entry || !this.#isWorthKeeping(entry, flight) || isEndless(response, this.#options.maxBodyBytes)) {
      flight.land(undefined)
      return response
    }
    if (response.body === null) {
      await this.#add(from.key, entry)
      flight.land(entry)
      return response
    }
    const { maxBodyBytes } = this.#options
    let chunks: Uint8Array[] = []
    let size = 0
    const drop = () => {
      chunks = []
      size = Number.POSITIVE_INFINITY
      flight.land(undefined)
    }
    return watchBody(response, {
      // Others may be waiting for it, whether or not this caller reads.
      ahead: maxBodyBytes,
      chunk(bytes) {
        if (size > maxBodyBytes) return
        size += bytes.byteLength
        // A copy: the stream takes the chunk's own memory with it.
        if (size > maxBodyBytes) drop()
        else chunks.push(bytes.slice())
      },
      whole: () => {
        if (size > maxBodyBytes) return
        const whole = { ...entry, body: concat(chunks, size) }
        // In memory it is there at once; elsewhere those who wait need not wait for the store.
        void this.#add(from.key, whole)
        flight.land(whole)
      },
      cut: drop,
    })
  }

  /** A stored response that a 304 has confirmed, with what the 304 says anew. */
  async confirm(entry: CacheEntry, response: Response, from: Provenance): Promise<CacheEntry> {
    const headers = updatedHeaders(entry.headers, response.headers)
    const freshness = freshnessOf(
      {
        method: from.call.method,
        requestHeaders: from.call.headers,
        status: entry.status,
        headers: new Headers(headers as [string, string][]),
        requestedAt: from.requestedAt,
        receivedAt: this.#options.now(),
      },
      this.#options.defaults,
    )
    if (!freshness) {
      await this.remove(from.key)
      return { ...entry, headers, receivedAt: this.#options.now(), initialAge: 0 }
    }
    const confirmed = { ...entry, ...freshness, headers, keyId: from.keyId }
    await this.#add(from.key, confirmed)
    return confirmed
  }

  /** Makes a response of an entry, with its age (RFC 9111 section 5.1). */
  toResponse(entry: CacheEntry, method: string): Response {
    const headers = new Headers(entry.headers as [string, string][])
    headers.set('age', String(Math.floor(ageOf(entry, this.#options.now()) / 1000)))
    const body = method === 'HEAD' || hasNullBody(entry.status) ? null : entry.body
    const response = new Response(body, { status: entry.status, statusText: entry.statusText, headers })
    return withFacts(response, { url: entry.url, redirected: entry.redirected, type: 'basic' })
  }

  async remove(key: string): Promise<void> {
    try {
      await this.#options.store.delete(key)
    } catch (error) {
      this.#options.storeFailed(error)
    }
  }

  async #read(key: string): Promise<CacheRecord | undefined> {
    try {
      return await this.#options.store.get(key)
    } catch (error) {
      this.#options.storeFailed(error)
      return undefined
    }
  }

  async #add(key: string, entry: CacheEntry): Promise<void> {
    const known = (await this.#read(key)) ?? []
    const others = known.filter(each => each.variant !== entry.variant || each.vary.join() !== entry.vary.join())
    const record = [entry, ...others].slice(0, VARIANTS)
    const now = this.#options.now()
    const ttl = Math.max(...record.map(each => usefulFor(each, now)))
    if (ttl <= 0) return
    try {
      await this.#options.store.set(key, record, ttl)
    } catch (error) {
      this.#options.storeFailed(error)
    }
  }

  async #entryFor(response: Response, { call, keyId, requestedAt }: Provenance): Promise<CacheEntry | undefined> {
    const { status, statusText, headers, url, redirected } = response
    const { method, headers: requestHeaders } = call
    const receivedAt = this.#options.now()
    const received = { method, requestHeaders, status, headers, requestedAt, receivedAt }
    const freshness = freshnessOf(received, this.#options.defaults)
    if (!freshness) return undefined
    const vary = varyOf(headers)
    const variant = await this.#options.keys.variantOf(call, vary)
    const stored = storableHeaders(headers)
    return { variant, vary, status, statusText, headers: stored, url, redirected, body: null, keyId, ...freshness }
  }

  #isWorthKeeping(entry: CacheEntry, flight: Flight): boolean {
    if (entry.revalidate !== 'always' && flight.waiting > 0) return true
    return hasValidator(entry) || usefulFor(entry, entry.receivedAt) > 0
  }
}

/** A body that is known to be too large, or that is a stream of events, which ends when nobody knows. */
function isEndless({ headers }: Response, bound: number): boolean {
  if (Number(headers.get('content-length') ?? 0) > bound) return true
  return /^\s*(text\/event-stream|application\/(x-)?(ndjson|json-seq|stream\+json|jsonl))/i.test(
    headers.get('content-type') ?? '',
  )
}
