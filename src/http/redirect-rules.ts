/** What is sent next after a redirect; the body is dropped where `method` became GET by it. */
export interface Redirected {
  readonly url: string
  readonly method: string
  readonly dropBody: boolean
  readonly crossOrigin: boolean
}

/** The policies that a `Referrer-Policy` field may name (Referrer Policy, section 3). */
const POLICIES: ReadonlySet<string> = new Set([
  'no-referrer',
  'no-referrer-when-downgrade',
  'same-origin',
  'origin',
  'strict-origin',
  'origin-when-cross-origin',
  'strict-origin-when-cross-origin',
  'unsafe-url',
])

/** The policy that a redirect sets for the rest of the way: the last that is known (Referrer Policy, section 8.1). */
export function referrerPolicyOf({ headers }: Response): ReferrerPolicy | undefined {
  const named = (headers.get('referrer-policy') ?? '').split(',').map(policy => policy.trim().toLowerCase())
  return named.findLast(policy => POLICIES.has(policy)) as ReferrerPolicy | undefined
}

/** The longest chain of redirects (Fetch standard, HTTP-redirect fetch, step 7). */
export const REDIRECT_LIMIT = 20

const REDIRECT_STATUSES: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])
/** Fields that describe a body, dropped with it (Fetch standard, "request-body-header name"). */
export const BODY_HEADERS = [
  'content-encoding',
  'content-language',
  'content-location',
  'content-type',
  'content-length',
]
/** Fields that are meant for one origin only: `Authorization` by the Fetch standard, the others as undici does. */
export const ORIGIN_HEADERS = ['authorization', 'proxy-authorization', 'cookie', 'host']

/** Whether a response redirects, with or without saying where (Fetch standard, "redirect status"). */
export function isRedirect({ status }: Response): boolean {
  return REDIRECT_STATUSES.has(status)
}

/** Where a response redirects to, as its header says; `undefined` if it is no redirect. */
export function locationOf(response: Response): string | undefined {
  if (!isRedirect(response)) return undefined
  const location = response.headers.get('location') ?? undefined
  // A header's bytes come as Latin-1; URLs are UTF-8.
  if (location === undefined || !/[\x80-\xff]/.test(location)) return location
  return new TextDecoder().decode(Uint8Array.from(location, character => character.charCodeAt(0)))
}

/**
 * The next request of a redirect, by the Fetch standard's "HTTP-redirect fetch".
 *
 * @throws TypeError as `fetch` itself does: a location that is no http(s) URL, or a body that can't be sent again.
 */
export function nextAfterRedirect(
  status: number,
  location: string,
  from: { url: string; method: string },
  body: { present: boolean; replayable: boolean },
  mode: RequestMode | undefined,
): Redirected {
  const to = parseLocation(location, from.url)
  const source = new URL(from.url)
  if (to.protocol !== 'http:' && to.protocol !== 'https:') throw redirectError('URL scheme must be a HTTP(S) scheme')
  if (to.hash === '') to.hash = source.hash
  const crossOrigin = to.origin !== source.origin
  if (crossOrigin && mode === 'same-origin') throw redirectError('request mode cannot be "same-origin"')
  if (to.username || to.password) throw redirectError('cross origin not allowed for request mode "cors"')
  const becomesGet =
    ((status === 301 || status === 302) && from.method === 'POST') ||
    (status === 303 && from.method !== 'GET' && from.method !== 'HEAD')
  // Even where the next request has no body: so the standard has it (step 11).
  if (status !== 303 && body.present && !body.replayable) throw redirectError('')
  return { url: to.href, method: becomesGet ? 'GET' : from.method, dropBody: becomesGet, crossOrigin }
}

function parseLocation(location: string, base: string): URL {
  try {
    return new URL(location, base)
  } catch (error) {
    throw new TypeError('fetch failed', { cause: error })
  }
}

/** The error of a redirect that may not be followed, of the class and form that `fetch` rejects with. */
export function redirectError(reason: string): TypeError {
  return new TypeError('fetch failed', { cause: new Error(reason) })
}
