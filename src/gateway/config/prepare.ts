import { InvalidOptionError } from '../../errors.js'
import { isLoopback } from '../proxy/address.js'
import type { GatewayConfig } from './config.js'
import { checkConfig } from './schema.js'
import { isResolved, resolveSecrets } from './secrets.js'

/**
 * Checks a configuration, and that nobody can get at the keys who should not.
 *
 * @param bound - the host that is listened on already, whatever the configuration says
 */
export function prepare(given: GatewayConfig, bound?: string): GatewayConfig {
  const isReady = typeof given === 'object' && given !== null && isResolved(given)
  const config = checkConfig(isReady ? given : resolveSecrets(given, { env: process.env, folder: process.cwd() }))
  const host = bound ?? config.listen?.host ?? '127.0.0.1'
  if (isLoopback(host)) return config
  const covering = (config.policies ?? []).filter(each => 'authentication' in each)
  for (const [path, { policies = [] }] of Object.entries(config.routes)) {
    const isAsked =
      policies.some(
        each =>
          'authentication' in each && each.authentication.tokens.length > 0 && (each.routes?.includes(path) ?? true),
      ) || covering.some(each => each.authentication.tokens.length > 0 && (each.routes?.includes(path) ?? true))
    if (isAsked) continue
    throw new InvalidOptionError(
      'listen.host',
      `a loopback address, as route '${path}' asks for no authentication`,
      `'${host}'`,
    )
  }
  return config
}
