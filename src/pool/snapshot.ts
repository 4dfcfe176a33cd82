import type { KeySnapshot } from '../key-snapshot.js'
import type { PooledKey } from './pooled-key.js'

const ONE = () => 1

export function snapshotOf(key: PooledKey, now: number): KeySnapshot {
  const { quota } = key
  const limits = quota.limiter.read(now).map(({ meter, remaining, learnt }) => ({
    unit: meter.unit,
    limit: meter.limit,
    remaining,
    per: meter.per ?? null,
    burst: meter.capacity === meter.limit || learnt ? null : meter.capacity,
    learnt,
  }))
  const counts = limits.filter(limit => limit.unit === 'requests').map(limit => limit.remaining)
  return {
    id: key.id,
    ...conditionOf(key, now),
    lastCause: key.lastCause ?? null,
    limits,
    remaining: counts.length > 0 ? Math.min(...counts) : null,
    inFlight: key.inFlight,
    group: quota.group ?? null,
    weight: key.weight,
    priority: key.priority,
    tags: key.tags,
    expiresAt: Number.isFinite(key.expiresAt) ? new Date(key.expiresAt) : null,
    baseUrl: key.baseUrl?.href ?? null,
  }
}

/** State, cause and time of return, the standing first: a disabled key's cooldown is beside the point. */
export function conditionOf(key: PooledKey, now: number): Pick<KeySnapshot, 'state' | 'cause' | 'until'> {
  const { standing, quota } = key
  switch (standing.state) {
    case 'removed':
      return { state: 'disabled', cause: 'disabled', until: null }
    case 'disabled':
      return { state: 'disabled', cause: standing.cause, until: null }
    case 'rejected':
      if (key.probing) return { state: 'probing', cause: 'invalid-key', until: null }
      return { state: 'disabled', cause: 'invalid-key', until: null }
    case 'enabled':
      break
  }
  if (now >= key.expiresAt) return { state: 'disabled', cause: 'expired', until: null }
  const { cooldown } = quota
  switch (cooldown.state) {
    case 'cooling':
      if (cooldown.until > now) return { state: 'cooling', cause: cooldown.cause, until: new Date(cooldown.until) }
      break
    case 'half-open':
      if (cooldown.single && quota.probing) return { state: 'probing', cause: cooldown.cause, until: null }
      break
    case 'open':
      break
  }
  const at = quota.limiter.availableAt(ONE, now)
  if (at <= now) return { state: 'ready', cause: null, until: null }
  return { state: 'busy', cause: null, until: Number.isFinite(at) ? new Date(at) : null }
}
