import type { IncomingMessage, ServerResponse } from 'node:http'

/** Where nobody is asked for a token, only programs on this machine are served, and no pages of others in its browser. */
export function refuseForeign(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const title = 'Without a policy of authentication only programs on this machine are served, by a loopback address'
  const body = JSON.stringify({ type: 'urn:fetch-keypool:foreign-page', title, status: 403 })
  const connection = incoming.complete || incoming.httpVersionMajor >= 2 ? {} : { connection: 'close' }
  outgoing.writeHead(403, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    ...connection,
  })
  outgoing.end(body)
}
