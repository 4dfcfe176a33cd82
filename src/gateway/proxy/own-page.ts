import type { IncomingMessage } from 'node:http'
import { isLoopback } from './address.js'

/**
 * Whether a request that needs no token can come from a page of somebody else's in a browser on this machine: such a page
 * may send to loopback too, and a name of its own that leads here makes it a page of the same origin (DNS rebinding).
 */
export function isForeignPage({ headers }: Pick<IncomingMessage, 'headers'>): boolean {
  const site = headers['sec-fetch-site']
  if (site === 'cross-site' || site === 'same-site') return true
  const host = headers.host ?? ''
  if (!isLoopback(hostOf(host))) return true
  const { origin } = headers
  return origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`
}

function hostOf(host: string): string {
  return URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : ''
}
