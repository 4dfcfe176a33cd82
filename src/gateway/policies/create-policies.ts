import { parseDuration } from '../../duration.js'
import { parseBytes } from '../config/bytes.js'
import type { PolicyConfig } from '../config/config.js'
import { addresses } from './addresses.js'
import { allow } from './allow.js'
import { authentication } from './authentication.js'
import { bodySize } from './body-size.js'
import type { Policy } from './policy.js'
import { priority } from './priority.js'
import { rateLimit } from './rate-limit.js'

/** Policies by what they were made of: those that are declared again go on with what they have counted. */
export type PolicyBook = Map<string, Policy>

/**
 * Makes policies of what is declared, in the order in which they are asked.
 *
 * @param before - those that there were
 * @param book - where those that there are now are noted
 */
export function createPolicies(
  configs: readonly PolicyConfig[],
  route?: string,
  before?: PolicyBook,
  book?: PolicyBook,
): Policy[] {
  return configs.map(config => {
    const name = JSON.stringify([route, config])
    const policy = before?.get(name) ?? { ...createPolicy(config, route), ...accessOf(config) }
    book?.set(name, policy)
    return policy
  })
}

function accessOf(config: PolicyConfig): Pick<Policy, 'access'> {
  return 'authentication' in config || 'addresses' in config || 'allow' in config ? { access: config } : {}
}

function createPolicy(config: PolicyConfig, route: string | undefined): Policy {
  const { name } = config
  const routes = config.routes ?? (route === undefined ? undefined : [route])
  if ('authentication' in config) return authentication(name, routes, config.authentication)
  if ('addresses' in config) return addresses(name, routes, config.addresses)
  if ('allow' in config) return allow(name, routes, config.allow)
  if ('maxBody' in config) return bodySize(name, routes, parseBytes(config.maxBody)!)
  if ('priority' in config) return priority(name, routes, config.priority)
  if ('budget' in config) {
    const { by = 'caller', ...limits } = config.budget
    return rateLimit(name, routes, { ...limits, by }, 'budget')
  }
  const { by = 'caller', per, ...limits } = config.rateLimit
  return rateLimit(
    name,
    routes,
    { ...limits, by, per: per === undefined ? undefined : parseDuration(per) },
    'rate-limit',
  )
}
