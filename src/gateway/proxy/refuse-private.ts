import { isIP } from 'node:net'
import { InvalidOptionError } from '../../errors.js'
import type { GatewayConfig } from '../config/config.js'
import { isPrivate, ranges } from './address.js'
import type { Route } from './route.js'

/**
 * A private address that stands in the configuration itself would answer every request with 502: better to say so at the start.
 *
 * @throws InvalidOptionError
 */
export function refusePrivate({ path, base }: Route, { allowPrivateUpstreams = false }: GatewayConfig): void {
  const host = new URL(base.origin).hostname.replace(/^\[|\]$/g, '')
  const isLocalName = host === 'localhost' || host.endsWith('.localhost')
  if (!isLocalName && (isIP(host) === 0 || !isPrivate(host))) return
  if (allowPrivateUpstreams === true) return
  const isAllowed = Array.isArray(allowPrivateUpstreams) ? ranges(allowPrivateUpstreams) : () => false
  if (isLocalName ? isAllowed('127.0.0.1') || isAllowed('::1') : isAllowed(host)) return
  const expected = "a public address, or its range in 'allowPrivateUpstreams'"
  throw new InvalidOptionError(`routes.${path}.upstream`, expected, `'${host}'`)
}
