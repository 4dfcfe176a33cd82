import { InvalidOptionError } from '../../errors.js'
import { isLoopback } from '../proxy/address.js'
import type { GatewayConfig } from './config.js'
import { checkConfig } from './schema.js'
import { resolveSecrets } from './secrets.js'

/** Checks a configuration, and that nobody can get at the keys who should not. */
export function prepare(given: GatewayConfig): GatewayConfig {
  const config = checkConfig(resolveSecrets(given, { env: process.env, folder: process.cwd() }))
  const { host = '127.0.0.1' } = config.listen ?? {}
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
