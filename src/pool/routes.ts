import { SHORTEST_SECRET } from '../describe.js'
import { withoutParameters } from '../http/authorise.js'
import type { Call } from '../http/call.js'
import { isRequest } from '../platform.js'
import { redactText } from '../redact.js'
import type { Settings } from '../settings.js'
import type { PooledKey } from './pooled-key.js'

/** Which URLs are the pool's, and which of them a key may have. */
export interface Routes {
  /** Where an input leads; `undefined` where it is no http(s) URL at all, which is for `fetch` to say. */
  targetOf(input: RequestInfo | URL): URL | undefined
  isPooled(target: URL | undefined): boolean
  /** Where a call goes with this key: its own endpoint, for the first origin, or as it is. */
  urlFor(call: Call, key: PooledKey): string
  mayTravel(key: PooledKey, origin: string, from: string): boolean
  /** Takes a key out of a URL that a server made. */
  withoutKey(url: string, lease: Pick<PooledKey, 'secret'>): string
}

export function routes({ origins, firstOrigin }: Pick<Settings, 'origins' | 'firstOrigin'>): Routes {
  return {
    targetOf,
    isPooled: target => target !== undefined && (origins === '*' || origins.has(target.origin)),
    urlFor({ url, origin }, { baseUrl }) {
      if (!baseUrl || origin !== firstOrigin) return url
      const { origin: to, pathname } = baseUrl
      return to + pathname.replace(/\/$/, '') + url.slice(origin.length)
    },
    mayTravel({ baseUrl }, origin, from) {
      if (baseUrl) return origin === baseUrl.origin
      return origins === '*' ? origin === from : origins.has(origin)
    },
    withoutKey(url, { secret }) {
      // Nearly always: a value that is long enough to be looked for is not in it.
      if (secret.length >= SHORTEST_SECRET && redactText(url, secret) === url) return url
      // Whole parameters go; wherever else a server has put the value, something stands in its place.
      return redactText(
        withoutParameters(url, (_, value) => secret.equals(value)),
        secret,
        '***',
      )
    },
  }
}

function targetOf(input: RequestInfo | URL): URL | undefined {
  let text: string
  try {
    text = typeof input === 'string' ? input : isRequest(input) ? input.url : String(input)
  } catch {
    // No text at all: `fetch` says so in its own way.
    return undefined
  }
  const base = (globalThis as { location?: { href?: string } }).location?.href
  const url = parse(text, base)
  return url?.protocol === 'http:' || url?.protocol === 'https:' ? url : undefined
}

function parse(text: string, base: string | undefined): URL | undefined {
  try {
    return base === undefined ? new URL(text) : new URL(text, base)
  } catch {
    // `fetch` says so in its own way.
    return undefined
  }
}
