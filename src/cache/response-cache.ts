import type { Clock } from '../clock.js'
import type { Call } from '../http/call.js'
import { concat } from '../http/call-body.js'
import { hasNullBody, watchBody, withFacts } from '../http/response.js'
import { type CacheKeys, varyOf } from './cache-key.js'
import type { CacheEntry, CacheRecord, CacheStore } from './cache-store.js'
import { isCacheRecord } from './check-record.js'
import { ageOf, type FreshnessDefaults, freshnessOf, hasValidator, usefulFor } from './freshness.js'
import { storableHeaders, updatedHeaders } from './reuse.js'
import type { Flight } from './single-flight.js'

/** How long a store may take to answer, in milliseconds. */
const PATIENCE = 1_000
/** How long those wait, in milliseconds, who share an answer of which nobody knows how long it is. */
const SHARED_PATIENCE = 2_000
/** How many variants of one URL are kept. */
const VARIANTS = 16

export interface ResponseCacheOptions {
  readonly store: CacheStore
  readonly keys: CacheKeys
  readonly defaults: FreshnessDefaults
  readonly maxBodyBytes: number
  readonly clock: Clock
  /** Takes the value of the key with this id out of a text. */
  scrub(text: string, keyId: string | null): string
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
  /** The changes to each key that are being made. */
  readonly #changes = new Map<string, Promise<void>>()

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
      flight.land({ kind: 'unshared' })
      return response
    }
    if (response.body === null) {
      this.#add(from.key, entry, flight)
      flight.land({ kind: 'shared', entry })
      return response
    }
    // It may have no end: those who wait must not wait for that.
    const giveUp = response.headers.has('content-length')
      ? undefined
      : this.#options.clock.schedule(() => flight.land({ kind: 'unshared' }), SHARED_PATIENCE)
    const { maxBodyBytes } = this.#options
    let chunks: Uint8Array[] = []
    let size = 0
    const drop = (kind: 'unshared' | 'failed') => {
      chunks = []
      size = Number.POSITIVE_INFINITY
      giveUp?.()
      flight.land({ kind })
    }
    return watchBody(response, {
      // Others may be waiting for it, whether or not this caller reads.
      ahead: maxBodyBytes,
      chunk(bytes) {
        if (size > maxBodyBytes) return
        size += bytes.byteLength
        // A copy: the stream takes the chunk's own memory with it.
        if (size > maxBodyBytes) drop('unshared')
        else chunks.push(bytes.slice())
      },
      whole: () => {
        if (size > maxBodyBytes) return
        const whole = { ...entry, body: concat(chunks, size) }
        giveUp?.()
        this.#add(from.key, whole, flight)
        flight.land({ kind: 'shared', entry: whole })
      },
      cut: () => drop('failed'),
    })
  }

  /** A stored response that a 304 has confirmed, with what the 304 says anew. */
  confirm(entry: CacheEntry, response: Response, from: Provenance, flight: Flight): CacheEntry {
    const headers = updatedHeaders(entry.headers, this.#headersOf(response, from.keyId))
    const receivedAt = this.#options.clock.now()
    const freshness = freshnessOf(
      {
        method: from.call.method,
        requestHeaders: from.call.headers,
        status: entry.status,
        headers: new Headers(headers),
        requestedAt: from.requestedAt,
        receivedAt,
      },
      this.#options.defaults,
    )
    if (!freshness) {
      this.remove(from.key)
      return { ...entry, headers, receivedAt, initialAge: 0 }
    }
    const confirmed = { ...entry, ...freshness, headers, keyId: from.keyId }
    this.#add(from.key, confirmed, flight)
    return confirmed
  }

  /** Makes a response of an entry, with its age (RFC 9111 section 5.1). */
  toResponse(entry: CacheEntry, method: string): Response {
    const headers = new Headers(entry.headers as [string, string][])
    headers.set('age', String(Math.floor(ageOf(entry, this.#options.clock.now()) / 1000)))
    const body = method === 'HEAD' || hasNullBody(entry.status) ? null : entry.body
    const response = new Response(body as Uint8Array<ArrayBuffer> | null, { status: entry.status, headers })
    return withFacts(response, { statusText: entry.statusText, url: entry.url, redirected: false, type: 'basic' })
  }

  remove(key: string): void {
    this.#change(key, () => this.#options.store.delete(key))
  }

  /** @throws never: a store that fails, hangs or gives nonsense is a miss */
  async #read(key: string): Promise<CacheRecord | undefined> {
    try {
      const answer = this.#options.store.get(key)
      const record = isPromise(answer) ? await this.#withinPatience(answer) : answer
      if (record === undefined || record === null) return undefined
      if (isCacheRecord(record)) return record
      this.remove(key)
      throw new TypeError('The store gave back something else than it was given.')
    } catch (error) {
      this.#options.storeFailed(error)
      return undefined
    }
  }

  async #withinPatience<Value>(answer: Promise<Value>): Promise<Value> {
    let cancel!: () => void
    const late = new Promise<never>((_, reject) => {
      cancel = this.#options.clock.schedule(() => reject(new Error('The store did not answer.')), PATIENCE)
    })
    return Promise.race([answer, late]).finally(cancel)
  }

  /** Stores an entry, after whatever is being stored for the same key: nobody waits for it. */
  #add(key: string, entry: CacheEntry, flight: Flight): void {
    this.#change(key, async () => {
      if (flight.outdated) return
      const known = (await this.#read(key)) ?? []
      const others = known.filter(each => each.variant !== entry.variant || each.vary.join() !== entry.vary.join())
      const record = [entry, ...others].slice(0, VARIANTS)
      const now = this.#options.clock.now()
      const ttl = Math.max(...record.map(each => usefulFor(each, now)))
      if (ttl > 0 && !flight.outdated) await this.#options.store.set(key, record, ttl)
    })
  }

  /** Changes to one key are made one after the other, or the second would undo the first. */
  #change(key: string, change: () => unknown): void {
    const before = this.#changes.get(key) ?? Promise.resolve()
    const done = before.then(change).then(
      () => undefined,
      error => this.#options.storeFailed(error),
    )
    this.#changes.set(key, done)
    void this.#withinPatience(done)
      .catch(error => this.#options.storeFailed(error))
      .finally(() => {
        if (this.#changes.get(key) === done) this.#changes.delete(key)
      })
  }

  async #entryFor(response: Response, { call, keyId, requestedAt }: Provenance): Promise<CacheEntry | undefined> {
    const { status, statusText, url, redirected } = response
    // What the answer is good for is the last hop's word; the first may lead elsewhere tomorrow.
    if (redirected) return undefined
    const headers = this.#headersOf(response, keyId)
    const { method, headers: requestHeaders } = call
    const receivedAt = this.#options.clock.now()
    const received = { method, requestHeaders, status, headers, requestedAt, receivedAt }
    const freshness = freshnessOf(received, this.#options.defaults)
    if (!freshness) return undefined
    const vary = varyOf(headers)
    const variant = await this.#options.keys.variantOf(call, vary)
    const stored = storableHeaders(headers)
    return { variant, vary, status, statusText, headers: stored, url, body: null, keyId, ...freshness }
  }

  /** A response's fields without the key, should the server have put it into one (a link to the next page, say). */
  #headersOf({ headers }: Response, keyId: string | null): Headers {
    const clean = new Headers()
    for (const [name, value] of headers) clean.append(name, this.#options.scrub(value, keyId))
    return clean
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

function isPromise(value: unknown): value is Promise<unknown> {
  return typeof (value as Promise<unknown> | null)?.then === 'function'
}
