export type { Auth } from './auth.js'
export type { CacheEntry, CacheRecord, CacheStore } from './cache/cache-store.js'
export type { CacheForecast } from './cache/plan.js'
export type { Duration } from './duration.js'
export {
  InvalidOptionError,
  type KeyCause,
  KeyPoolExhaustedError,
  KeypoolError,
  type KeypoolErrorCode,
  KeypoolTimeoutError,
} from './errors.js'
export type {
  AttemptTrace,
  CacheHitEvent,
  CacheMissedEvent,
  Cause,
  KeyDisabledEvent,
  KeyExhaustedEvent,
  KeyNearExhaustionEvent,
  KeyPoolEvents,
  KeyRecoveredEvent,
  KeyRotatedEvent,
  PoolExhaustedEvent,
  RefusalScope,
  RequestFinishedEvent,
  RequestRetriedEvent,
  SharedRefusal,
  SharingDegradedEvent,
  SharingRestoredEvent,
  TokensSettledEvent,
} from './events.js'
export type { Explanation } from './explanation.js'
export type { KeyStats, PoolStats } from './insight/counters.js'
export type { Diagnosis, Finding, FindingKind } from './insight/diagnosis.js'
export type { Percentiles } from './insight/histogram.js'
export type { Series, SeriesPoint } from './insight/series.js'
export type { KeySnapshot, LimitSnapshot, PartSnapshot } from './key-snapshot.js'
export type {
  AlertOptions,
  CacheOptions,
  KeyInput,
  KeyOptions,
  Limit,
  Logger,
  Options,
  ReplayOptions,
  RetryContext,
  RetryOptions,
  Strategy,
  StrategyName,
} from './options.js'
export { KeyPool } from './pool/key-pool.js'
export type { RequestSummary } from './request-summary.js'
export type { Sharing } from './sharing.js'
export type { BodyFacts } from './signals/body-facts.js'
export type {
  LimitedBy,
  LimitFields,
  Meaning,
  Provider,
  Reply,
  Scope,
  Signal,
  Wait,
} from './signals/provider.js'
export type { ProviderName } from './signals/providers/index.js'
export { type PooledFetch, type PooledInit, wrapFetch } from './wrap-fetch.js'
