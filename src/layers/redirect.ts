import type { Exchange } from '../exchange.js'
import type { Call } from '../http/call.js'
import { originOf } from '../http/call.js'
import { canReplay } from '../http/call-body.js'
import {
  BODY_HEADERS,
  isRedirect,
  locationOf,
  nextAfterRedirect,
  ORIGIN_HEADERS,
  REDIRECT_LIMIT,
  redirectError,
  referrerPolicyOf,
} from '../http/redirect-rules.js'
import { clientUrl, givenReferrer, referrerFor } from '../http/referrer.js'
import { withFacts } from '../http/response-facts.js'
import { discard } from '../http/take-in.js'
import type { Lease } from '../pool/lease.js'
import type { PooledKey } from '../pool/pooled-key.js'
import { redactError } from '../redact.js'

/** One request to one URL, with a key where the URL is the key's to have. */
export interface Hop {
  readonly call: Call
  readonly url: string
  readonly method: string
  readonly headers: Headers
  readonly withBody: boolean
  readonly lease: Lease | undefined
  /** What redirects have made of the call's referrer and policy; `undefined`: it is the call's own. */
  readonly referral: Referral | undefined
  /** Whether redirects are to be left to the platform, which is the only one that can follow them there. */
  readonly native: boolean
}

/** The referrer and the policy of a hop that a redirect has led to. */
export interface Referral {
  /** As an init takes it; `undefined`: there is none to send, and nothing to say of it. */
  readonly referrer: string | undefined
  readonly policy: ReferrerPolicy | undefined
  /** Whether the referrer is what is to be sent, whatever the policy. */
  readonly isFinal: boolean
}

/** What came of an attempt, after redirects. */
export interface Arrival {
  readonly response: Response
  /** The key that the last hop was sent with; `undefined` where it went to an origin that is not the key's. */
  readonly lease: Lease | undefined
}

export type Send = (hop: Hop) => Promise<Response>

export interface RedirectHost {
  /** Where the call begins for this key: its own endpoint, or the call's URL. */
  urlFor(call: Call, key: PooledKey): string
  /** Whether a key may travel to an origin. */
  mayTravel(key: PooledKey, origin: string, from: string): boolean
  /** Takes out of a URL what a server may have copied into it. */
  withoutKey(url: string, lease: Pick<Lease, 'secret'>): string
  /** Whether the platform keeps the key off other origins by itself. */
  readonly safeWithNativeRedirects: boolean
  /** The server has taken the key, and redirects: its answer is told before the lease ends. */
  passed(lease: Lease): void
  /** A fresh permit of the same key: a redirect that is followed is one more request to the server. */
  renew(exchange: Exchange, lease: Lease): Promise<Lease>
}

/**
 * Follows redirects by the Fetch standard, with the key on its own origins only.
 *
 * The platform would do it too, but it carries custom headers and queries along to wherever it is sent.
 */
export function followRedirects(
  host: RedirectHost,
): (sendFor: (signal: AbortSignal | undefined) => Send) => (exchange: Exchange, lease: Lease) => Promise<Arrival> {
  return sendFor =>
    async function redirect(exchange, first) {
      const { call } = exchange
      const send = sendFor(exchange.signal)
      let lease: Lease | undefined = first
      const start = host.urlFor(call, first.key)
      let hop: Hop = {
        call,
        url: start,
        method: call.method,
        headers: call.headers,
        withBody: true,
        lease,
        referral: undefined,
        // What is checked must be the end of the way: only the platform can check, and it checks each thing that it gets.
        native: call.redirect === 'follow' && Boolean(call.rest.integrity) && host.safeWithNativeRedirects,
      }
      let tainted = false
      // Fetch standard, "redirect-tainted origin".
      let isOriginOpaque = false
      try {
        for (let count = 0; ; count++) {
          const response = await send(hop)
          if (call.redirect === 'error' && (response.type === 'opaqueredirect' || isRedirect(response))) {
            await discard(response)
            throw redirectError('unexpected redirect')
          }
          if (isOpaqueRedirect(response, call)) {
            if (!host.safeWithNativeRedirects) {
              throw redirectError('this platform hides redirects, and would carry the key to wherever they lead')
            }
            if (hop.native) throw redirectError('the wrapped fetch hides redirects that it was asked to follow')
            hop = { ...hop, native: true }
            continue
          }
          const location = call.redirect === 'follow' ? locationOf(response) : undefined
          if (location === undefined) {
            return {
              response: count === 0 ? response : withFacts(response, arrivedBy(response, tainted), response.headers),
              lease,
            }
          }
          // To the end, as the permit of this hop is given back next: the server must have nothing more to send.
          await discard(response)
          if (count === REDIRECT_LIMIT) throw redirectError('redirect count exceeded')
          const next = nextAfterRedirect(response.status, location, hop, bodyOf(hop), call.rest.mode)
          tainted ||= next.crossOrigin
          // A condition is about what is stored of the first URL.
          const headers = new Headers(count === 0 ? (call.unconditional ?? hop.headers) : hop.headers)
          if (next.dropBody) for (const name of BODY_HEADERS) headers.delete(name)
          if (next.crossOrigin) for (const name of ORIGIN_HEADERS) headers.delete(name)
          let { url } = next
          if (lease) host.passed(lease)
          if (lease && host.mayTravel(lease.key, originOf(url), originOf(hop.url))) {
            lease = await host.renew(exchange, lease)
          } else if (lease) {
            url = host.withoutKey(url, lease)
            lease.end()
            lease = undefined
          }
          const withBody = hop.withBody && !next.dropBody
          isOriginOpaque ||= next.crossOrigin && clientUrl()?.origin !== originOf(hop.url)
          const origin = tainted ? originHeaderFor(next.method, isOriginOpaque) : undefined
          if (origin !== undefined) headers.set('origin', origin)
          const referral = referralAfter(response, hop, url)
          hop = { call, url, method: next.method, headers, withBody, lease, referral, native: false }
        }
      } catch (error) {
        lease?.end()
        // What is wrong with a location is told with the location, and the server may have put the key into it.
        throw redactError(error, first.secret)
      }
    }
}

/**
 * The referrer of the next hop: what was sent as that of this one, under the policy that the redirect sets for the rest of
 * the way (Fetch standard, "HTTP-redirect fetch", and "main fetch", step 8).
 *
 * It is worked out here and handed to the platform as it is to be sent: to the platform each hop is a request of its own,
 * which would begin with the page's URL again.
 */
function referralAfter(response: Response, { call, url, referral }: Hop, next: string): Referral {
  const policy = referral ? referral.policy : call.rest.referrerPolicy
  const nextPolicy = referrerPolicyOf(response) ?? policy
  const source = givenReferrer(referral ? referral.referrer : call.rest.referrer)
  if (source === undefined) return { referrer: undefined, policy: nextPolicy, isFinal: false }
  const sent = referral?.isFinal ? source : referrerFor(source, policy, new URL(url))
  // Where there is no page, the platform's own rules say as much as there is to say.
  const isFinal = clientUrl() !== undefined
  const nextSent = isFinal ? referrerFor(sent, nextPolicy, new URL(next)) : sent
  return { referrer: nextSent === 'none' ? '' : nextSent.href, policy: nextPolicy, isFinal }
}

/**
 * The `Origin` of a request that a redirect has led away from the first origin, whatever its method: `null` where another
 * origin had a hand in it (Fetch standard, "append a request Origin header"). `undefined` where there is no page or worker
 * that has an origin, or the platform adds the header itself, as browsers always do: they ignore this one.
 */
function originHeaderFor(method: string, isOpaque: boolean): string | undefined {
  const client = clientUrl()
  if (!client || !(method === 'GET' || method === 'HEAD')) return undefined
  return isOpaque ? 'null' : client.origin
}

/** What of the body is at stake in a redirect. */
function bodyOf({ withBody, call: { body } }: Hop) {
  return { present: withBody && body.kind !== 'none', replayable: canReplay(body) }
}

/** In browsers a redirect that is not followed natively shows nothing of itself. */
function isOpaqueRedirect(response: Response, call: Call): boolean {
  return response.type === 'opaqueredirect' && call.redirect === 'follow'
}

/** A response that another origin has had a hand in is of type `cors` (Fetch standard, "response tainting"). */
function arrivedBy({ statusText, url, type }: Response, tainted: boolean) {
  return { statusText, url, type: tainted && type === 'basic' ? 'cors' : type, redirected: true } as const
}
