import type { IncomingMessage } from 'node:http'
import { isLoopback } from './address.js'

/** What proxies write of those that they pass on. */
const BY_PROXIES = [
  ...['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-port', 'x-real-ip'],
  ...[
    'x-client-ip',
    'true-client-ip',
    'cf-connecting-ip',
    'x-forwarded-server',
    'x-cluster-client-ip',
    'fly-client-ip',
  ],
]

/**
 * Whether a program on this machine asks, itself: a proxy beside it passes on callers from anywhere, and only one that is
 * trusted is believed that they are from here.
 *
 * @param address - the caller's, as far as proxies are trusted
 * @param isPeerTrusted - whether what has connected is a trusted proxy
 */
export function isLocal(
  { headers }: Pick<IncomingMessage, 'headers'>,
  address: string,
  isPeerTrusted: boolean,
): boolean {
  if (!isLoopback(address)) return false
  const isPassedOn = BY_PROXIES.some(name => headers[name] !== undefined)
  return !isPassedOn || (isPeerTrusted && headers['x-forwarded-for'] !== undefined)
}

/**
 * Whether a request that needs no token can come from a page of somebody else's in a browser on this machine: such a page
 * may send to loopback too, and a name of its own that leads here makes it a page of the same origin (DNS rebinding).
 */
export function isForeignPage({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  const site = headers['sec-fetch-site']
  if (site === 'cross-site' || site === 'same-site') return true
  const host = headers.host ?? (headers[':authority'] as string | undefined) ?? ''
  if (!isLoopback(hostOf(host))) return true
  const { origin } = headers
  return origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`
}

function hostOf(host: string): string {
  return URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : ''
}
