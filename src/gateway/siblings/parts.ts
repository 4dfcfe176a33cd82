import type { Limit } from '../../options.js'
import type { GatewayConfig, PolicyConfig, RouteConfig } from '../config/config.js'

/**
 * A configuration for one of several processes, in which callers are served by any of them: so many requests at once are
 * counted by each for itself. What else policies count, they tell each other.
 */
export function withPartsOfPolicies(config: GatewayConfig, size: number, index: number): GatewayConfig {
  if (size === 1) return config
  const part = (policies: readonly PolicyConfig[] | undefined) =>
    policies && { policies: policies.map(each => partOfPolicy(each, size, index)) }
  const routes = Object.entries(config.routes).map(
    ([path, route]) => [path, { ...route, ...part(route.policies) }] as const,
  )
  return { ...config, ...part(config.policies), routes: Object.fromEntries(routes) }
}

function partOfPolicy(policy: PolicyConfig, size: number, index: number): PolicyConfig {
  if ('rateLimit' in policy && policy.rateLimit.concurrency !== undefined) {
    const concurrency = share(policy.rateLimit.concurrency, size, index)
    return { ...policy, rateLimit: { ...policy.rateLimit, concurrency } }
  }
  if ('priority' in policy && policy.priority.slots !== undefined) {
    return { ...policy, priority: { ...policy.priority, slots: share(policy.priority.slots, size, index) } }
  }
  return policy
}

/**
 * A configuration for one of several processes that share nothing: each takes its part of each limit of a key. What can't be
 * divided, as there is less than one for each, is used by all: the service then refuses some.
 */
export function withPartsOfLimits(config: GatewayConfig, size: number, index: number): GatewayConfig {
  if (size === 1) return config
  const routes = Object.entries(config.routes).map(([path, route]) => [path, partOfRoute(route, size, index)] as const)
  return { ...config, routes: Object.fromEntries(routes) }
}

function partOfRoute(route: RouteConfig, size: number, index: number): RouteConfig {
  const { limits, keys } = route
  return {
    ...route,
    ...(limits === undefined ? {} : { limits: partOfLimits(limits, size, index) }),
    keys:
      typeof keys === 'string'
        ? keys
        : keys.map(key =>
            typeof key === 'string' || key.limits === undefined
              ? key
              : { ...key, limits: partOfLimits(key.limits, size, index) },
          ),
  }
}

function partOfLimits(limits: Limit | readonly Limit[], size: number, index: number): Limit[] {
  return [limits].flat().map(limit => {
    const part = { ...(limit as Limit) } as Record<string, unknown>
    for (const unit of ['requests', 'tokens', 'concurrency', 'burst']) {
      const whole = part[unit]
      if (typeof whole === 'number') part[unit] = share(whole, size, index)
    }
    return part as unknown as Limit
  })
}

/** One of `size` parts that come to the whole; at least 1. */
export function share(whole: number, size: number, index: number): number {
  return Math.max(1, Math.floor(whole / size) + (index < whole % size ? 1 : 0))
}
