import { dateAt, type Moment } from '../clock.js'
import type { KeySnapshot, LimitSnapshot } from '../key-snapshot.js'
import type { Weigh } from '../limiter/limiter.js'
import type { PooledKey } from './pooled-key.js'
import type { Lane } from './quota.js'

const ONE = () => 1

export function snapshotOf(key: PooledKey, moment: Moment): KeySnapshot {
  const { quota } = key
  const limits = limitsOf(quota, moment.now)
  const counts = limits.filter(limit => limit.unit === 'requests').map(limit => limit.remaining)
  return {
    id: key.id,
    ...conditionOf(key, moment),
    lastCause: key.lastCause ?? null,
    limits,
    remaining: counts.length > 0 ? Math.min(...counts) : null,
    parts: [...quota.parts].map(([name, lane]) => ({
      name,
      ...conditionOf(key, moment, name),
      limits: limitsOf(lane, moment.now),
    })),
    inFlight: key.inFlight,
    group: quota.group ?? null,
    weight: key.weight,
    priority: key.priority,
    tags: key.tags,
    expiresAt: Number.isFinite(key.expiresAt) ? new Date(key.expiresAt) : null,
    baseUrl: key.baseUrl?.href ?? null,
  }
}

function limitsOf(lane: Lane, now: number): LimitSnapshot[] {
  return lane.limiter.read(now).map(({ meter, remaining, learnt }) => ({
    unit: meter.unit,
    limit: Number.isFinite(meter.limit) ? Number(meter.limit.toFixed(1)) : null,
    remaining,
    per: typeof meter.per === 'number' ? Math.round(meter.per) : (meter.per ?? null),
    burst: meter.capacity === meter.limit || learnt ? null : meter.capacity,
    learnt,
  }))
}

/** State, cause and time of return, the standing first: a disabled key's cooldown is beside the point. */
export function conditionOf(
  key: PooledKey,
  moment: Moment,
  part = '',
  weigh: Weigh = ONE,
): Pick<KeySnapshot, 'state' | 'cause' | 'until'> {
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
  if (moment.wall >= key.expiresAt) return { state: 'disabled', cause: 'expired', until: null }
  const whole = conditionOfLane(quota, moment, weigh)
  const lane = whole.state === 'ready' ? quota.parts.get(part) : undefined
  return lane ? conditionOfLane(lane, moment, weigh) : whole
}

function conditionOfLane(lane: Lane, moment: Moment, weigh: Weigh): Pick<KeySnapshot, 'state' | 'cause' | 'until'> {
  const { now } = moment
  const { cooldown } = lane
  switch (cooldown.state) {
    case 'cooling':
      if (cooldown.until > now)
        return { state: 'cooling', cause: cooldown.cause, until: dateAt(moment, cooldown.until) }
      break
    case 'half-open':
      if (lane.isProbed && lane.probing) return { state: 'probing', cause: cooldown.cause, until: null }
      break
    case 'open':
      break
  }
  const at = lane.limiter.availableAt(weigh, now)
  if (at <= now || lane.limiter.mayAskOthers(now)) return { state: 'ready', cause: null, until: null }
  return { state: 'busy', cause: null, until: Number.isFinite(at) ? dateAt(moment, at) : null }
}
