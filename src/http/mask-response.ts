import { maskBytes, maskStream, maskText } from '../redact-bytes.js'
import type { Secret } from '../secret.js'
import { lazyBodyOf, responseOf } from './lazy-response.js'
import { factsOf, hasNullBody, isConstructible, withFacts } from './response-facts.js'

/**
 * The response with stars in the place of the key that it was got with, wherever a service has put that into a field or the
 * body; the same response where it is not in it, as far as that can be known before the body is there.
 */
export function maskResponse(response: Response, secret: Secret): Response {
  const headers = maskHeaders(response.headers, secret)
  const { status, body } = response
  const facts = factsOf(response)
  const bytes = lazyBodyOf(response)?.bytes
  if (bytes) {
    const masked = maskBytes(bytes, secret)
    return masked === bytes && headers === response.headers ? response : responseOf(masked, status, facts, headers)
  }
  // Whatever it says that it is: the caller may have named its type.
  if (!body || body.locked || !isConstructible(status) || hasNullBody(status)) {
    return headers === response.headers ? response : withFacts(response, facts, headers)
  }
  return withFacts(new Response(body.pipeThrough(maskStream(secret)), { status, headers }), facts, headers)
}

/** The headers themselves where the key is not in them: nearly always, so that all are looked through at once. */
function maskHeaders(headers: Headers, secret: Secret): Headers {
  const all = [...headers]
  const text = all.map(([, value]) => value).join('\n')
  if (maskText(text, secret) === text) return headers
  return new Headers(all.map(([name, value]): [string, string] => [name, maskText(value, secret)]))
}
