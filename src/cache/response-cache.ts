import type { Call } from '../http/call.js'
import { concat } from '../http/lazy-body.js'
import { type BodyWatcher, responseOf } from '../http/lazy-response.js'
import { hasNullBody, immutableHeaders } from '../http/response-facts.js'
import { type CacheKeys, isFieldName, varyOf } from './cache-key.js'
import type { CacheEntry } from './cache-store.js'
import { ageOf, type FreshnessDefaults, freshnessOf, hasValidator, usefulFor } from './freshness.js'
import { parseRange } from './range.js'
import { type PutOptions, RecordBook, type RecordBookOptions } from './record-book.js'
import { storableHeaders, updatedHeaders } from './reuse.js'
import type { Flight, Landing } from './single-flight.js'
import type { Tenants } from './tenants.js'

/** How long those wait, in milliseconds, who share an answer of which nobody knows how long it is. */
const SHARED_PATIENCE = 2_000
/** Fields without which an answer is neither fresh nor to be confirmed. */
const TELLING = ['cache-control', 'expires', 'etag', 'last-modified']

export interface ResponseCacheOptions extends RecordBookOptions {
  readonly keys: CacheKeys
  readonly defaults: FreshnessDefaults
  readonly maxBodyBytes: number
  readonly watchBody: BodyWatcher
  readonly tenants: Tenants
  /** Takes the value of the key with this id out of a text. */
  scrub(text: string, keyId: string | null): string
  /** Puts stars in its place in bytes. */
  scrubBytes(bytes: Uint8Array<ArrayBuffer>, keyId: string | null): Uint8Array<ArrayBuffer>
}

/** What a response was got by. */
export interface Provenance {
  readonly call: Call
  readonly key: string
  /** Whose answer the call would take. */
  readonly tenant: string
  readonly keyId: string | null
  readonly requestedAt: number
}

/** Puts responses into the store and takes them out, and turns them into entries and back. */
export class ResponseCache {
  readonly #options: ResponseCacheOptions
  readonly #book: RecordBook

  constructor(options: ResponseCacheOptions) {
    this.#options = options
    this.#book = new RecordBook(options)
  }

  /** The stored response for a call, if there is one. */
  async find(key: string, call: Call, tenant: string): Promise<CacheEntry | undefined> {
    const record = await this.#book.find(key)
    return record && this.#options.keys.select(record, call, tenant)
  }

  /**
   * The response for the caller, stored on its way where it may be. It is never held back: what is to be stored is
   * copied as it streams by, and let go of when it grows too large.
   */
  async keep(response: Response, from: Provenance, flight: Flight): Promise<Response> {
    // Nothing said of freshness, and nobody who waits: most answers of most APIs, which must cost nothing.
    if (flight.waiting === 0 && !this.#mayBeOfUse(response.headers)) {
      flight.land({ kind: 'unshared' })
      return response
    }
    const entry = await this.#entryFor(response, from)
    if (!entry || !this.#isWorthKeeping(entry, flight) || isEndless(response, this.#options.maxBodyBytes)) {
      flight.land({ kind: 'unshared' })
      return response
    }
    // What another tenant's key has brought is not for those who wait.
    const isTheirs = this.#options.tenants.ofKey(from.keyId) === from.tenant
    const landed = (whole: CacheEntry): Landing =>
      isTheirs && mayShare(whole) ? { kind: 'shared', entry: whole } : { kind: 'unshared' }
    if (response.body === null) {
      this.#add(from.key, entry, { isOutdated: () => flight.outdated })
      flight.land(landed(entry))
      return response
    }
    // It may have no end, or come to a stop: those who wait must not wait for that.
    const giveUp = this.#options.clock.schedule(() => flight.land({ kind: 'unshared' }), SHARED_PATIENCE)
    const { maxBodyBytes } = this.#options
    let chunks: Uint8Array[] = []
    let size = 0
    const drop = (kind: 'unshared' | 'failed' | 'aborted') => {
      chunks = []
      size = Number.POSITIVE_INFINITY
      giveUp()
      flight.land({ kind })
    }
    return this.#options.watchBody(response, {
      // Others may be waiting for it, whether or not this caller reads.
      ahead: maxBodyBytes,
      signal: from.call.signal,
      aborts: this.#options.clock.aborts,
      chunk(bytes) {
        if (size > maxBodyBytes) return
        size += bytes.byteLength
        // A copy: the chunk stays the response's own.
        if (size > maxBodyBytes) drop('unshared')
        else chunks.push(bytes.slice())
      },
      whole: () => {
        if (size > maxBodyBytes) return
        const whole = { ...entry, body: this.#options.scrubBytes(concat(chunks, size), from.keyId) }
        giveUp()
        this.#add(from.key, whole, { isOutdated: () => flight.outdated })
        flight.land(landed(whole))
      },
      cut: () => drop(from.call.signal?.aborted ? 'aborted' : 'failed'),
    })
  }

  /** A stored response that a 304 has confirmed, with what the 304 says anew. */
  async confirm(entry: CacheEntry, response: Response, from: Provenance, flight: Flight): Promise<CacheEntry> {
    const { entry: confirmed, isStorable } = await this.#renewed(entry, response, from)
    if (isStorable) this.#add(from.key, confirmed, { isOutdated: () => flight.outdated, replaces: entry })
    else this.remove(from.key)
    flight.land(isStorable && mayShare(confirmed) ? { kind: 'shared', entry: confirmed } : { kind: 'unshared' })
    return confirmed
  }

  /**
   * What an answer to HEAD says of the stored answer to GET (RFC 9111 section 4.3.5): where they are of one
   * representation it is as good as confirmed, else it is stale.
   */
  freshen(getKey: string, response: Response, from: Provenance): void {
    this.#book.change(getKey, async () => {
      const record = await this.#book.read(getKey)
      const entry = record && (await this.#options.keys.select(record, from.call, from.tenant))
      if (!entry) return
      if (!isOfOne(entry, response.headers)) {
        await this.#book.put(getKey, { ...entry, lifetime: 0, staleWhileRevalidate: 0 })
        return
      }
      const renewed = await this.#renewed(entry, response, from)
      if (renewed.isStorable) await this.#book.put(getKey, renewed.entry, { replaces: entry })
      else await this.#options.store.delete(getKey)
    })
  }

  /** An entry with the fields and the freshness of an answer that came without a body, and whether it may be stored any more. */
  async #renewed(
    entry: CacheEntry,
    response: Response,
    from: Provenance,
  ): Promise<{ entry: CacheEntry; isStorable: boolean }> {
    const headers = updatedHeaders(entry.headers, this.#headersOf(response, from.keyId))
    const receivedAt = this.#options.clock.wallNow()
    const received = new Headers(headers)
    // How old it is now is for this answer to say.
    if (!response.headers.has('age')) received.delete('age')
    const freshness = freshnessOf(
      {
        method: 'GET',
        requestHeaders: from.call.headers,
        status: entry.status,
        headers: received,
        requestedAt: from.requestedAt,
        receivedAt,
      },
      this.#options.defaults,
    )
    const vary = varyOf(received)
    if (!freshness || !vary) return { entry: { ...entry, headers, receivedAt, initialAge: 0 }, isStorable: false }
    const { keyId, call } = from
    // What it varies by may be told only now.
    const variant =
      vary.join() === entry.vary.join()
        ? entry.variant
        : await this.#options.keys.variantOf(call, vary, this.#options.tenants.ofKey(keyId))
    return { entry: { ...entry, ...freshness, headers, vary, variant, keyId }, isStorable: true }
  }

  /** Makes a response of an entry, with its age (RFC 9111 section 5.1). */
  toResponse(entry: CacheEntry, method: string): Response {
    const body = method === 'HEAD' || hasNullBody(entry.status) ? null : entry.body
    return this.#respond(entry, { status: entry.status, statusText: entry.statusText, body, fields: [] })
  }

  /**
   * The part of a stored response that a range asks for, as a 206 (RFC 9110 section 14, RFC 9111 section 3.4);
   * `undefined` where the server must answer that itself: several ranges, one that is not there, or bytes that were
   * decoded on their way in and are not those that the range counts.
   */
  partOf(entry: CacheEntry, range: string): Response | undefined {
    const { body, status, headers } = entry
    if (status !== 200 || body === null || headers.some(([name]) => name === 'content-encoding')) return undefined
    const part = parseRange(range, body.byteLength)
    if (!part) return undefined
    const bytes = body.subarray(part.first, part.last + 1)
    const fields: [string, string][] = [
      ['content-range', `bytes ${part.first}-${part.last}/${body.byteLength}`],
      ['content-length', String(bytes.byteLength)],
    ]
    return this.#respond(entry, { status: 206, statusText: 'Partial Content', body: bytes, fields })
  }

  #respond(
    entry: CacheEntry,
    made: { status: number; statusText: string; body: Uint8Array | null; fields: [string, string][] },
  ): Response {
    const replaced = new Map([
      ['age', String(Math.floor(ageOf(entry, this.#options.clock.wallNow()) / 1000))],
      ...made.fields,
    ])
    const stored = entry.headers.filter(([name]) => !replaced.has(name))
    const headers = immutableHeaders([...stored, ...replaced])
    const facts = {
      statusText: made.statusText,
      url: entry.url,
      redirected: false,
      type: entry.type ?? 'basic',
    } as const
    return responseOf(made.body as Uint8Array<ArrayBuffer> | null, made.status, facts, headers)
  }

  remove(key: string): void {
    this.#book.remove(key)
  }

  #add(key: string, entry: CacheEntry, options: PutOptions): void {
    this.#book.change(key, () => this.#book.put(key, entry, options))
  }

  async #entryFor(response: Response, { call, keyId, requestedAt }: Provenance): Promise<CacheEntry | undefined> {
    const { status, statusText, url, redirected, type } = response
    // What the answer is good for is the last hop's word; the first may lead elsewhere tomorrow.
    if (redirected) return undefined
    const headers = this.#headersOf(response, keyId)
    const { method, headers: requestHeaders } = call
    const receivedAt = this.#options.clock.wallNow()
    const received = { method, requestHeaders, status, headers, requestedAt, receivedAt }
    const freshness = freshnessOf(received, this.#options.defaults)
    if (!freshness) return undefined
    const vary = varyOf(headers)
    if (!vary) return undefined
    const variant = await this.#options.keys.variantOf(call, vary, this.#options.tenants.ofKey(keyId))
    const stored = storableHeaders(headers)
    return { variant, vary, status, statusText, headers: stored, url, type, body: null, keyId, ...freshness }
  }

  /** A response's fields without the key, should the server have put it into one (a link to the next page, say). */
  #headersOf({ headers }: Response, keyId: string | null): Headers {
    const clean = new Headers()
    for (const [name, value] of headers) {
      // A server may send a field under a name that is none: it cannot be kept.
      if (isFieldName(name)) clean.append(name, this.#options.scrub(value, keyId))
    }
    return clean
  }

  /** Whether an answer may be fresh, now or by the user's word, or may be confirmed later. */
  #mayBeOfUse(headers: Headers): boolean {
    const { ttl, staleWhileRevalidate, staleIfError } = this.#options.defaults
    if (ttl !== undefined || staleWhileRevalidate > 0 || staleIfError > 0) return true
    return TELLING.some(name => headers.has(name))
  }

  #isWorthKeeping(entry: CacheEntry, flight: Flight): boolean {
    if (entry.revalidate !== 'always' && flight.waiting > 0) return true
    return hasValidator(entry) || usefulFor(entry, entry.receivedAt) > 0
  }
}

/** Whether an answer to HEAD is of the representation that is stored, by what it says of it. */
function isOfOne({ headers, body }: CacheEntry, told: Headers): boolean {
  const stored = new Headers(headers as [string, string][])
  const length = told.get('content-length')
  return (
    ['etag', 'last-modified'].every(name => !told.has(name) || told.get(name) === stored.get(name)) &&
    (length === null || length === (stored.get('content-length') ?? String(body?.byteLength ?? 0)))
  )
}

/**
 * Whether an answer may serve others who asked for the same while it was on its way (RFC 9111 section 4): not where it says
 * that it must be validated, or that it is stale.
 */
function mayShare({ revalidate, lifetime, headers }: CacheEntry): boolean {
  if (revalidate === 'always') return false
  if (lifetime > 0) return true
  const saysSo = headers.some(
    ([name, value]) => name === 'expires' || (name === 'cache-control' && /max-age/i.test(value)),
  )
  return revalidate === 'may-be-stale' && !saysSo
}

/** A body that is known to be too large, or that is a stream of events, which ends when nobody knows. */
function isEndless({ headers }: Response, bound: number): boolean {
  if (Number(headers.get('content-length') ?? 0) > bound) return true
  return /^\s*(text\/event-stream|application\/(x-)?(ndjson|json-seq|stream\+json|jsonl))/i.test(
    headers.get('content-type') ?? '',
  )
}
