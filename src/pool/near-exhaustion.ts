import type { Emit } from '../events.js'
import type { Meter } from '../limiter/meter.js'
import type { PooledKey } from './pooled-key.js'
import type { Quota } from './quota.js'

/** The shares of a limit at which it is called nearly exhausted, on the way down. */
const THRESHOLDS = [0.2, 0.05] as const
/** Windows shorter than this run dry and fill again all the time, as they should when a pool is used in full. */
const SHORTEST_WINDOW = 60_000

/** Tells when little is left of a declared limit: once for each threshold, and again when it has been above it in between. */
export function nearExhaustion(emit: Emit, now: () => number): (key: PooledKey) => void {
  /** The number of thresholds that a quota's meters have crossed. */
  const crossed = new WeakMap<Quota, number[]>()
  const watch = (key: PooledKey, meter: Meter, remaining: number, index: number, marks: number[]) => {
    const share = remaining / meter.capacity
    const below = THRESHOLDS.filter(threshold => share <= threshold).length
    const before = marks[index] ?? 0
    marks[index] = below
    if (below <= before || meter.unit === 'concurrency') return
    const { unit, limit } = meter
    emit('key-near-exhaustion', () => ({
      ...{ keyId: key.id, unit, limit, per: meter.per!, remaining },
      threshold: THRESHOLDS[below - 1]!,
    }))
  }
  return key => {
    const { quota } = key
    let marks = crossed.get(quota)
    if (!marks) {
      marks = []
      crossed.set(quota, marks)
    }
    quota.limiter.read(now()).forEach(({ meter, remaining }, index) => {
      if (isLong(meter)) watch(key, meter, remaining, index, marks)
    })
  }
}

function isLong({ per }: Meter): boolean {
  return typeof per === 'string' || (per !== undefined && per >= SHORTEST_WINDOW)
}
