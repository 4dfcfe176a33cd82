import type { Call } from '../http/call.js'
import { bytesOf, contentTypeOf } from '../http/call-body.js'
import type { CacheEntry, CacheRecord } from './cache-store.js'

/** The credentials that a caller may send beside the pool's key: entries got with different ones are kept apart. */
const CREDENTIALS = ['authorization', 'cookie']

/** Names responses: by method and URL, the hash of the body where that counts, and what they vary by. */
export interface CacheKeys {
  /** The primary key; `undefined` where a body can't be hashed. */
  keyOf(call: Call): string | undefined | Promise<string | undefined>
  /** The key that a GET of this URL would have. */
  keyOfUrl(url: string, method?: 'GET' | 'HEAD'): string
  /**
   * What a response to this call, varying by these fields, is told apart by.
   *
   * @param tenant - whose response it is; empty where all keys are of one tenant
   */
  variantOf(call: Call, vary: readonly string[], tenant: string): string | Promise<string>
  /** The stored response that was selected by what this call says. */
  select(record: CacheRecord, call: Call, tenant: string): CacheEntry | undefined | Promise<CacheEntry | undefined>
  /** Equal for calls that nothing tells apart. */
  flightOf(key: string, call: Call, tenant: string): string
}

/**
 * @param strip - takes the pool's own query parameter out of a URL
 * @param authHeader - the header that the pool overwrites with its key: what a caller puts there is never sent
 */
export function cacheKeys(strip: (url: string) => string, authHeader: string | undefined): CacheKeys {
  const credentials = CREDENTIALS.filter(name => name !== authHeader)
  const keyOfUrl = (url: string, method: 'GET' | 'HEAD' = 'GET') => `${method} ${strip(withoutHash(url))}`

  function variantOf(call: Call, vary: readonly string[], tenant: string): string | Promise<string> {
    const { headers } = call
    const told = vary
      .filter(name => name !== authHeader && !credentials.includes(name))
      .map(name => `${name}: ${normalise(name, headers.get(name))}`)
      .concat(tenant === '' ? [] : `of ${tenant}`)
      .join('\n')
    if (!credentials.some(name => headers.has(name))) return told
    return hash(new TextEncoder().encode(JSON.stringify(credentials.map(name => headers.get(name))))).then(
      identity => `${identity}\n${told}`,
    )
  }

  return {
    keyOfUrl,
    variantOf,
    keyOf(call) {
      if (call.method !== 'POST') return keyOfUrl(call.url, call.method as 'GET' | 'HEAD')
      return bytesOf(call.body).then(async bytes => {
        if (!bytes) return undefined
        return `POST ${strip(withoutHash(call.url))} ${call.headers.get('content-type') ?? contentTypeOf(call.body)} ${await hash(bytes)}`
      })
    },
    select(record, call, tenant) {
      const index = record.findIndex(entry => entry.vary.length > 0 || entry.variant !== '')
      if (index < 0 && tenant === '' && !credentials.some(name => call.headers.has(name))) return record[0]
      return selectSlowly(record, call, tenant)
    },
    flightOf(key, { headers }, tenant) {
      const told = [...headers].filter(([name]) => name !== authHeader)
      return told.length === 0 && tenant === '' ? key : `${key}\n${JSON.stringify([tenant, told])}`
    },
  }

  async function selectSlowly(record: CacheRecord, call: Call, tenant: string): Promise<CacheEntry | undefined> {
    for (const entry of record) if ((await variantOf(call, entry.vary, tenant)) === entry.variant) return entry
    return undefined
  }
}

/** The request fields that a response varies by (RFC 9110 section 12.5.5); `undefined`: by what no request can tell. */
export function varyOf(headers: Headers): string[] | undefined {
  const names = (headers.get('vary') ?? '').split(',').map(name => name.trim().toLowerCase())
  const given = [...new Set(names.filter(name => name !== ''))].sort()
  // `*`, and what is no name of a field.
  return given.every(name => name !== '*' && isFieldName(name)) ? given : undefined
}

/** Whether a header field can have this name, in lower case (RFC 9110 section 5.6.2). */
export function isFieldName(name: string): boolean {
  return /^[!#$%&'*+\-.^_`|~\da-z]+$/.test(name)
}

function withoutHash(url: string): string {
  const index = url.indexOf('#')
  return index < 0 ? url : url.slice(0, index)
}

/** Lists of what a client would have, in whatever order and case: the weights tell what it would rather have (RFC 9110 section 12.4.2). */
const WEIGHTED = new Set(['accept-charset', 'accept-encoding', 'accept-language'])

/** White space does not tell variants apart, nor what the field's own definition makes the same (RFC 9111 section 4.1). */
function normalise(name: string, value: string | null): string {
  if (value === null) return ''
  // Within quotes everything counts.
  if (value.includes('"')) return value.trim()
  if (WEIGHTED.has(name)) {
    return value
      .toLowerCase()
      .split(',')
      .map(member => member.replace(/\s+/g, ''))
      .sort()
      .join(', ')
  }
  return value
    .trim()
    .split(',')
    .map(member => member.trim())
    .join(', ')
    .replace(/\s+/g, ' ')
}

async function hash(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(digest, byte => byte.toString(16).padStart(2, '0')).join('')
}
