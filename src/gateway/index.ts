export type {
  AddressesConfig,
  AlertConfig,
  AlertEvent,
  AllowConfig,
  AuthenticationConfig,
  BudgetConfig,
  GatewayConfig,
  ListenConfig,
  PolicyConfig,
  PriorityConfig,
  RateLimitConfig,
  RouteConfig,
  ServerBounds,
  TlsConfig,
} from './config/config.js'
export { type ReadConfig, readConfig } from './config/read.js'
export { createGateway, type Gateway } from './gateway.js'
export { hashToken } from './policies/authentication.js'
export { type CodePolicy, type WithPoliciesOptions, withPolicies } from './policies/with-policies.js'
export { keysOf, probeOf } from './proxy/route.js'
export type { Question, SiblingNews, Siblings, Spending } from './siblings/siblings.js'
