/** A referrer as a request has it: a URL, or none. */
export type Referrer = URL | 'none'

/** What a policy is where nobody names one (Referrer Policy, section 3). */
const DEFAULT_POLICY = 'strict-origin-when-cross-origin'
/** A longer URL is cut down to its origin (Referrer Policy, section 8.3). */
const MAX_LENGTH = 4096

/** Where Node's fetch keeps the page that it is to act for, if the program has set one. */
const NODE_ORIGIN = Symbol.for('undici.globalOrigin.1')

/** The URL of the page or worker that a request comes from; `undefined` where there is none, as in most servers. */
export function clientUrl(): URL | undefined {
  const { location, [NODE_ORIGIN]: ofNode } = globalThis as { location?: { href?: string }; [NODE_ORIGIN]?: URL }
  const href = location?.href ?? ofNode?.href
  return href !== undefined && URL.canParse(href) ? new URL(href) : undefined
}

/** What an init or a `Request` names as its referrer (Fetch standard, `new Request()`); `undefined`: there is none to send. */
export function givenReferrer(referrer: unknown): Referrer | undefined {
  const client = clientUrl()
  if (referrer === '') return 'none'
  if (typeof referrer !== 'string' || referrer === 'about:client') return client
  if (!URL.canParse(referrer, client?.href)) return client
  const url = new URL(referrer, client?.href)
  return client && url.origin !== client.origin ? client : url
}

/** What is sent as the referrer of a request to a URL (Referrer Policy, section 8.3, "determine request's referrer"). */
export function referrerFor(source: Referrer, policy: ReferrerPolicy | undefined, to: URL): Referrer {
  if (source === 'none') return 'none'
  const origin = new URL(source.origin === 'null' ? source.href : `${source.origin}/`)
  const stripped = strip(source)
  const full = stripped.href.length > MAX_LENGTH ? origin : stripped
  const isSame = source.origin === to.origin
  const isDowngrade = isTrustworthy(source) && !isTrustworthy(to)
  switch (policy || DEFAULT_POLICY) {
    case 'no-referrer':
      return 'none'
    case 'origin':
      return origin
    case 'unsafe-url':
      return full
    case 'same-origin':
      return isSame ? full : 'none'
    case 'strict-origin':
      return isDowngrade ? 'none' : origin
    case 'origin-when-cross-origin':
      return isSame ? full : origin
    case 'no-referrer-when-downgrade':
      return isDowngrade ? 'none' : full
    default:
      return isSame ? full : isDowngrade ? 'none' : origin
  }
}

function strip(url: URL): URL {
  const stripped = new URL(url)
  stripped.username = stripped.password = stripped.hash = ''
  return stripped
}

/** Whether a URL is potentially trustworthy (Secure Contexts, section 3.1). */
function isTrustworthy({ protocol, hostname }: URL): boolean {
  return (
    protocol === 'https:' ||
    protocol === 'wss:' ||
    /^(?:localhost|.+\.localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname)
  )
}
