import type { Auth } from '../auth.js'
import { InvalidOptionError } from '../errors.js'
import { isArrayBuffer, isFormData, isOwnRequest, isRequest } from '../platform.js'
import type { Secret } from '../secret.js'
import { headersOf } from './foreign.js'
import { isStreamLike, toWebStream } from './web-stream.js'

/** A request that is about to be sent. */
export interface Outgoing {
  url: string
  headers: Headers
}

/** Puts a key into a request, and takes it out again. */
export interface Authoriser {
  /** Whether the platform itself takes the key off a redirect to another origin: only `Authorization` is known to it. */
  readonly safeWithNativeRedirects: boolean
  authorise(outgoing: Outgoing, key: Secret): void
  /** Takes the key, and whatever stands in its place, out of a URL. */
  strip(url: string): string
}

/** A function of the user's own is not among these: it gets a request to change, see `transport`. */
export function createAuthoriser(auth: Exclude<Auth, (...args: never) => unknown>): Authoriser {
  if (auth === 'bearer') return headerAuthoriser('authorization', 'Bearer {key}')
  if ('header' in auth) return headerAuthoriser(auth.header, auth.format ?? '{key}')
  return 'path' in auth ? pathAuthoriser(([] as string[]).concat(auth.path)) : queryAuthoriser(auth.query)
}

function headerAuthoriser(header: string, format: string): Authoriser {
  const [before, ...after] = format.split('{key}')
  return {
    safeWithNativeRedirects: header.toLowerCase() === 'authorization',
    authorise({ headers }, key) {
      const value = key.reveal()
      headers.set(header, before + value + after.join(value))
    },
    strip: url => url,
  }
}

function queryAuthoriser(name: string): Authoriser {
  return {
    safeWithNativeRedirects: false,
    authorise(outgoing, key) {
      const [rest, hash] = splitOnce(withoutParameter(outgoing.url, name), '#')
      const joint = rest.includes('?') ? (rest.endsWith('?') ? '' : '&') : '?'
      outgoing.url = `${rest}${joint}${encodeURIComponent(name)}=${encodeURIComponent(key.reveal())}${hash}`
    },
    strip: url => withoutParameter(url, name),
  }
}

function pathAuthoriser(templates: readonly string[]): Authoriser {
  const places = templates.map(template => {
    const [before = '', after = ''] = template.split('{key}')
    return new RegExp(
      `^(https?://[^/?#]+${literal(before)})([^/?#]*)(?=${after === '' ? '[/?#]|$' : literal(after)})`,
      'i',
    )
  })
  // A path that ends where the key would begin: '/v2' and '/v2/' are meant alike.
  const complete = (url: string) => {
    for (const template of templates) {
      const bare = template.split('/{key}', 1)[0]!
      const match = new RegExp(`^(https?://[^/?#]+${literal(bare)})(?=[?#]|$)`, 'i').exec(url)
      if (match) return `${match[1]}/${url.slice(match[1]!.length)}`
    }
    return url
  }
  const replace = (url: string, value: string) => {
    const full = complete(url)
    const place = places.find(each => each.test(full))
    return place && full.replace(place, (_, before: string) => before + value)
  }
  return {
    safeWithNativeRedirects: false,
    authorise(outgoing, key) {
      const url = replace(outgoing.url, encodeURIComponent(key.reveal()))
      if (url === undefined) {
        const expected = `requests whose path begins with one of ${templates.join(', ')}`
        throw new InvalidOptionError('auth.path', expected, new URL(outgoing.url).pathname)
      }
      outgoing.url = url
    },
    strip: url => replace(url, PLACEHOLDER) ?? url,
  }
}

/** What stands in the place of a key in a path. */
const PLACEHOLDER = '***'

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

/** Takes a parameter out of a URL's query and leaves every other character of it as it is: signatures may be over them. */
function withoutParameter(url: string, name: string): string {
  return withoutParameters(url, each => each === name)
}

/** Takes out the parameters whose decoded name or value a predicate picks. */
export function withoutParameters(url: string, drop: (name: string, value: string) => boolean): string {
  const [beforeHash, hash] = splitOnce(url, '#')
  const [path, query] = splitOnce(beforeHash, '?')
  if (query === '') return url
  const kept = query
    .slice(1)
    .split('&')
    .filter(pair => {
      const [[name, value] = ['', '']] = new URLSearchParams(pair)
      return !drop(name, value)
    })
  return path + (kept.length > 0 ? `?${kept.join('&')}` : '') + hash
}

/** Text before a separator, and the separator with what follows; the second is empty where there is none. */
function splitOnce(text: string, separator: string): [before: string, after: string] {
  const index = text.indexOf(separator)
  return index < 0 ? [text, ''] : [text.slice(0, index), text.slice(index)]
}

/** What `fetch` is called with. */
export interface FetchArguments {
  readonly input: string | Request
  readonly init: RequestInit
}

/** Members of a `Request` that a function may have changed, and an init takes under the same name. */
const SETTINGS = ['cache', 'credentials', 'integrity', 'keepalive', 'mode', 'referrer', 'referrerPolicy'] as const

/**
 * Lets the user's own function put the key in.
 *
 * What it gives back may be a request of another implementation, which the wrapped `fetch` need not know. It is therefore
 * taken apart again: every `fetch` takes a URL and an init.
 *
 * @throws InvalidOptionError when it gives something else than a request to the same origin.
 */
export async function authoriseByFunction(
  auth: (request: Request, key: string) => Request | Promise<Request>,
  { input, init }: FetchArguments,
  key: Secret,
): Promise<FetchArguments> {
  const plain = new Request(input, { ...init, signal: null })
  const { origin } = new URL(plain.url)
  const { body: before } = plain
  const authorised = await auth(plain, key.reveal())
  if (!isRequest(authorised)) {
    throw new InvalidOptionError('auth', 'a function that gives a Request', 'something else')
  }
  if (new URL(authorised.url).origin !== origin) {
    throw new InvalidOptionError('auth', "a function that stays at the request's origin", 'another origin')
  }
  const changed: Record<string, unknown> = {}
  for (const name of SETTINGS) {
    if (authorised[name] !== undefined && authorised[name] !== plain[name]) changed[name] = authorised[name]
  }
  const common = { ...init, ...changed, method: authorised.method, headers: headersOf(authorised.headers as never) }
  if (authorised.body === null) return { input: authorised.url, init: { ...common, body: undefined } }
  if (authorised.body === before && isSentAsItIs(init.body)) return { input: authorised.url, init: common }
  if (authorised.bodyUsed && init.body && !isStreamLike(init.body)) {
    // The function has read it, to sign it perhaps. A form draws another boundary when it is sent.
    if (isFormData(init.body)) common.headers.delete('content-type')
    return { input: authorised.url, init: common }
  }
  // Of a body in memory the length is known only when it is there as a whole.
  if (!isOwnRequest(input) && !isStreamLike(init.body)) {
    return { input: authorised.url, init: { ...common, body: await authorised.arrayBuffer() } }
  }
  // The platform knows the length of its own request's body, even where nobody else can see it.
  if (isOwnRequest(input) && isOwnRequest(authorised)) return { input: authorised, init: common }
  const streamed = { ...common, body: toWebStream(authorised.body), duplex: 'half' }
  return { input: authorised.url, init: streamed as RequestInit }
}

/** Whether a body is the same bytes at each sending: not a form, whose boundary is in the request's headers. */
function isSentAsItIs(body: BodyInit | null | undefined): boolean {
  return typeof body === 'string' || ArrayBuffer.isView(body) || isArrayBuffer(body)
}
