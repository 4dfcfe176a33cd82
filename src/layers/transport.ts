import type { Auth } from '../auth.js'
import { abortable, type Clock, responseUnlessAborted } from '../clock.js'
import { type Deadline, startDeadline } from '../deadline.js'
import { formatDuration } from '../duration.js'
import { KeypoolTimeoutError } from '../errors.js'
import {
  type Authoriser,
  authoriseByFunction,
  type FetchArguments,
  type Outgoing,
  withoutParameters,
} from '../http/authorise.js'
import { adoptResponse } from '../http/foreign.js'
import type { SilenceLimit } from '../http/lazy-body.js'
import type { BodyWatcher } from '../http/lazy-response.js'
import { maskResponse } from '../http/mask-response.js'
import { withFacts } from '../http/response-facts.js'
import { streamLike } from '../http/web-stream.js'
import { isOwnRequest } from '../platform.js'
import type { Lease } from '../pool/lease.js'
import { redactError } from '../redact.js'
import type { Hop, Referral, Send } from './redirect.js'

export interface TransportOptions {
  readonly fetch: typeof globalThis.fetch
  readonly clock: Clock
  readonly auth: Auth
  /** Takes a key out of a URL. */
  cleanUrl(url: string, lease: Pick<Lease, 'secret'>): string
  /** `undefined` where `auth` is a function. */
  readonly authoriser: Authoriser | undefined
  /** What the service demands of every request, for those that don't have it. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Whether it is known where the service looks for keys: then the caller's own stay behind. */
  readonly isKnownService: boolean
  readonly credentialParameters: readonly string[]
  /** How long one attempt may take until its headers are there, in milliseconds. */
  readonly timeout: number | undefined
  /** How long the body may keep someone who reads it waiting for its next part, in milliseconds. */
  readonly bodyTimeout: number | undefined
  readonly watchBody: BodyWatcher
  /** Whether a service that gives back what it was sent may not show the key to whoever reads the response. */
  readonly hideKeys: boolean
}

/** Puts the key in and sends: the one place where a key's value is read, and where the wrapped `fetch` is called. */
export function transport(options: TransportOptions): (signal: AbortSignal | undefined) => Send {
  const { fetch, clock, auth, authoriser, headers, timeout, cleanUrl, isKnownService, credentialParameters } = options
  const silence = silenceLimit(clock, options.bodyTimeout)

  /** The response as it came, but for a URL that holds the key: as it was sent, or as the server sent it back. */
  function withoutKey(response: Response, lease: Lease): Response {
    const url = cleanUrl(response.url, lease)
    if (url === response.url) return response
    const { statusText, redirected, type } = response
    return withFacts(response, { statusText, url, redirected, type }, response.headers)
  }

  return signal =>
    async function send(hop) {
      const { call, lease } = hop
      const { signal: attemptSignal, clear } = startTimeout(clock, timeout, signal)
      try {
        const outgoing: Outgoing = { url: hop.url, headers: new Headers(hop.headers) }
        if (lease)
          for (const [name, value] of headers) if (!outgoing.headers.has(name)) outgoing.headers.set(name, value)
        if (lease && authoriser && isKnownService) dropOthersCredentials(outgoing, credentialParameters)
        if (lease && authoriser) authoriser.authorise(outgoing, lease.secret)
        // Redirects are followed, or refused, one layer up: see there.
        const redirect: RequestRedirect = hop.native ? 'follow' : 'manual'
        const init: RequestInit = {
          ...call.rest,
          ...(hop.referral && asInit(hop.referral)),
          ...{ method: hop.method, headers: outgoing.headers, signal: attemptSignal, redirect },
        }
        let request = await abortable(clock, withBodyOf(hop, outgoing.url, init), attemptSignal)
        if (lease && typeof auth === 'function') {
          const authorised = authoriseByFunction(auth, request, lease.secret)
          request = await abortable(clock, authorised, attemptSignal)
          attemptSignal?.throwIfAborted()
        }
        lease?.leaves()
        const response = adoptResponse(
          await responseUnlessAborted(clock, Promise.resolve(fetch(request.input, request.init)), attemptSignal),
        )
        lease?.answered()
        const clean = lease ? withoutKey(response, lease) : response
        const shown = lease && options.hideKeys ? maskResponse(clean, lease.secret) : clean
        return silence ? options.watchBody(shown, { silence }) : shown
      } catch (error) {
        if (lease?.left && !signal?.aborted) lease.failed()
        // The wrapped fetch may put the URL that it was given, key and all, into its errors.
        throw lease ? redactError(error, lease.secret) : error
      } finally {
        clear()
      }
    }
}

/** Headers in which services look for keys, and SDKs put one of their own, be it a dummy. */
const CREDENTIAL_HEADERS = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key']

/** Takes the caller's own credentials out: a service that is given two refuses both. */
function dropOthersCredentials(outgoing: Outgoing, parameters: readonly string[]): void {
  for (const name of CREDENTIAL_HEADERS) outgoing.headers.delete(name)
  if (parameters.length > 0) outgoing.url = withoutParameters(outgoing.url, name => parameters.includes(name))
}

function asInit({ referrer, policy, isFinal }: Referral): RequestInit {
  // No policy is to change what has been worked out.
  const referrerPolicy = isFinal ? 'unsafe-url' : policy
  return { ...(referrer !== undefined && { referrer }), ...(referrerPolicy && { referrerPolicy }) }
}

/** Adds the body: a `Request`'s own as it came, where it is sent for the first time and to where it was meant to go. */
async function withBodyOf(hop: Hop, url: string, init: RequestInit): Promise<FetchArguments> {
  const { body, source } = hop.call
  if (!hop.withBody || body.kind === 'none') return { input: source?.url === url ? source : url, init }
  switch (body.kind) {
    case 'value':
      return { input: url, init: { ...init, body: body.value } }
    case 'stream':
      return { input: url, init: { ...init, body: body.value } }
    case 'request': {
      const { request, kept } = body
      if (kept.bytes) return { input: url, init: { ...init, body: kept.bytes } }
      if (request.url === url && hop.call.owner && isOwnRequest(hop.call.owner)) {
        kept.start()
        return { input: request, init }
      }
      // To another URL the body must be taken out of its Request, which loses its length: better to have it whole first.
      const bytes = await kept.whole()
      if (bytes) return { input: url, init: { ...init, body: bytes } }
      const rest = streamLike(hop.call.owner?.body, request.body!)
      return { input: url, init: { ...init, body: rest, duplex: 'half' } as RequestInit }
    }
  }
}

function silenceLimit(clock: Clock, milliseconds: number | undefined): SilenceLimit | undefined {
  if (milliseconds === undefined) return undefined
  const message = `The body has stalled: nothing came of it within timeout.body (${formatDuration(milliseconds)}).`
  return { clock, milliseconds, error: () => new KeypoolTimeoutError(message) }
}

function startTimeout(clock: Clock, milliseconds: number | undefined, signal: AbortSignal | undefined): Deadline {
  return startDeadline(clock, milliseconds, signal, () => {
    const message = `No answer to this attempt within timeout.attempt (${formatDuration(milliseconds ?? 0)}).`
    return new KeypoolTimeoutError(message)
  })
}
