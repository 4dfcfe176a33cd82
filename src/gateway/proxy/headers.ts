/** Fields that concern one connection only (RFC 9110 section 7.6.1), and those that tell a proxy who asks. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])
/** Where SDKs put the key, which is the caller's token here: none of it goes on. */
export const CREDENTIALS = ['x-keypool-token', 'authorization', 'x-api-key', 'api-key', 'x-goog-api-key'] as const
const NOT_FORWARDED: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  ...CREDENTIALS,
  'host',
  'content-length',
  'expect',
  'cookie',
  'forwarded',
  'via',
  'x-real-ip',
  'x-client-ip',
  'true-client-ip',
  'cf-connecting-ip',
  // Another method than the one that was allowed, or another path or host.
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-method',
  'x-original-method',
  'x-original-url',
  'x-original-uri',
  'x-original-host',
  'x-original-path',
  'x-rewrite-url',
  'x-rewrite-uri',
  'x-override-url',
  'x-accel-redirect',
  'x-host',
  'x-path',
  'x-url',
  'x-http-host-override',
  'x-cluster-client-ip',
  'fly-client-ip',
])
/** A shorter token is part of too many words to be looked for. */
const SHORTEST = 6
/** The parameters of a query in which a key may stand. */
const IN_QUERY = ['key', 'api_key', 'apikey', 'access_token']

/** The caller's fields as they go on: without what is meant for this hop, or says who the caller is. */
export function forwardedHeaders(rawHeaders: readonly string[], tokens: readonly string[]): [string, string][] {
  const named = new Set<string>()
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (rawHeaders[index]!.toLowerCase() === 'connection') {
      for (const name of rawHeaders[index + 1]!.split(',')) named.add(name.trim().toLowerCase())
    }
  }
  const headers: [string, string][] = []
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase()
    // Some servers take the one for the other (CGI).
    const plain = name.replaceAll('_', '-')
    if (NOT_FORWARDED.has(plain) || named.has(name) || plain.startsWith('x-forwarded-') || name.startsWith(':'))
      continue
    const value = rawHeaders[index + 1]!
    // A token may stand in any field: in the referrer's query, say.
    if (tokens.some(token => token.length >= SHORTEST && value.includes(token))) continue
    headers.push([name, value])
  }
  return headers
}

const SANDBOX = "sandbox; default-src 'none'"
/** What runs nothing in a browser, whatever is in it. */
const INERT = /^(?:application\/(?:[\w.-]+\+)?json|text\/(?:event-stream|plain)|image\/(?!svg)|audio\/|video\/)/i

/**
 * The answer's fields as they go back, with some of the gateway's own.
 *
 * Cookies stay here: a session that was made with a key of the pool is not the caller's. What a service sends as a page does
 * not run as one of the gateway's, where the operator's page is.
 */
export function returnedHeaders(
  status: number,
  headers: Headers,
  own: ReadonlyMap<string, string>,
): Record<string, string | string[]> {
  const returned: Record<string, string | string[]> = {}
  const connection = headers.get('connection')
  const named = connection ? connection.split(',').map(name => name.trim().toLowerCase()) : []
  for (const [name, value] of headers) {
    if (!HOP_BY_HOP.has(name) && name !== 'set-cookie' && !named.includes(name)) returned[name] = value
  }
  // These have no body, whatever the service says of its length (RFC 9110 sections 8.6 and 15.3.6).
  if (status === 204) delete returned['content-length']
  if (status === 205) returned['content-length'] = '0'
  returned['x-content-type-options'] = 'nosniff'
  if (!INERT.test(headers.get('content-type') ?? '')) returned['content-security-policy'] = SANDBOX
  for (const [name, value] of own) returned[name] = name in returned ? `${returned[name]}, ${value}` : value
  return returned
}

/** The tokens that a caller has shown, in whatever place its SDK puts a key. */
export function shownTokens(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  search: string,
): string[] {
  const tokens: string[] = []
  for (const name of CREDENTIALS) {
    const value = headers[name]
    if (typeof value !== 'string' || value === '') continue
    if (name !== 'authorization') tokens.push(value.trim())
    else {
      const space = value.trim().search(/\s/)
      const [scheme, rest] = space < 0 ? [value.trim(), ''] : [value.trim().slice(0, space), value.trim().slice(space)]
      if (rest.trim() === '') continue
      if (/^(?:bearer|token)$/i.test(scheme)) tokens.push(rest.trim())
      else if (/^basic$/i.test(scheme)) tokens.push(...passwords(rest.trim()))
    }
  }
  if (search === '') return tokens
  const query = new URLSearchParams(search)
  for (const name of IN_QUERY) {
    const value = query.get(name)
    if (value) tokens.push(value)
  }
  return tokens
}

/** Takes what the caller has shown out of the query: the pool puts its own key in, if it belongs there. */
export function withoutCredentials(search: string, tokens: readonly string[]): string {
  if (search === '' || tokens.length === 0) return search
  const kept = search
    .slice(1)
    .split('&')
    .filter(part => {
      const equals = part.indexOf('=')
      const [name, value] = equals < 0 ? [part, ''] : [part.slice(0, equals), part.slice(equals + 1)]
      return !(IN_QUERY.includes(decode(name)) && tokens.includes(decode(value)))
    })
  return kept.length === 0 ? '' : `?${kept.join('&')}`
}

function passwords(basic: string): string[] {
  const text = Buffer.from(basic, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon < 0 ? [text] : [text.slice(colon + 1), text.slice(0, colon)]
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    // No encoding at all: it is what it is.
    return text
  }
}
