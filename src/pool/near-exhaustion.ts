import { dateAt, type Moment } from '../clock.js'
import type { Emit } from '../events.js'
import type { Meter } from '../limiter/meter.js'
import type { AlertSettings } from '../settings.js'
import type { Lease } from './lease.js'
import type { Lane } from './quota.js'

/** Windows shorter than this run dry and fill again all the time, as they should when a pool is used in full. */
const SHORTEST_WINDOW = 60_000
/** A rate is measured over at least this stretch, in milliseconds. */
const STRETCH = 10_000

/** A lease, as far as it matters here. */
type Taken = Pick<Lease, 'key' | 'part' | 'callId'>

/** What is remembered of one limit. */
interface Watched {
  /** How many thresholds it has crossed on the way down. */
  crossed: number
  /** When each threshold was last told of, and the forecast as the first of them. */
  readonly toldAt: number[]
  /** Whether the forecast was told since it was last full enough. */
  forecast: boolean
  /** Where the measuring of its rate began. */
  from: { at: number; remaining: number }
}

/**
 * Tells when little is left of a limit, declared or learnt: once for each threshold on the way down, and ahead of time
 * when it will be dry before its window ends, if it goes on at this rate.
 */
export function nearExhaustion(emit: Emit, alert: AlertSettings, moment: () => Moment): (lease: Taken) => void {
  const watched = new WeakMap<Lane, Map<string, Watched>>()

  function watch({ key, callId }: Taken, part: string | null, meter: Meter, remaining: number, state: Watched): void {
    const at = moment().now
    const share = remaining / meter.limit
    const below = alert.remaining.filter(threshold => share <= threshold).length
    const isLower = below > state.crossed
    state.crossed = below
    if (remaining > state.from.remaining) {
      // It has filled again: what was is over.
      state.from = { at, remaining }
      state.forecast = false
    }
    const dryAt = dryAtThisRate(meter, remaining, state, at)
    const isAhead = !state.forecast && dryAt !== null && dryAt - at <= alert.ahead && share < 1
    if (!isLower && !isAhead) return
    const which = isLower ? below : 0
    if (at - (state.toldAt[which] ?? Number.NEGATIVE_INFINITY) < alert.quiet) return
    state.toldAt[which] = at
    if (dryAt !== null) state.forecast = true
    const { unit, limit, per } = meter
    if (unit === 'concurrency') return
    emit('key-near-exhaustion', () => ({
      ...{ callId, keyId: key.id, part, unit, remaining, limit: Math.round(limit), per: per ?? null },
      threshold: isLower ? alert.remaining[below - 1]! : null,
      dryAt: dryAt === null ? null : dateAt(moment(), dryAt),
    }))
  }

  function look(lease: Taken, lane: Lane, part: string | null): void {
    let states = watched.get(lane)
    if (!states) {
      states = new Map()
      watched.set(lane, states)
    }
    const at = moment().now
    lane.limiter.read(at).forEach(({ meter, remaining }, index) => {
      if (meter.unit === 'concurrency' || !Number.isFinite(meter.limit) || !isLong(meter, at)) return
      const name = `${index} ${meter.unit} ${meter.per}`
      let state = states.get(name)
      if (!state) {
        state = { crossed: 0, toldAt: [], forecast: false, from: { at, remaining } }
        states.set(name, state)
      }
      watch(lease, part, meter, remaining, state)
    })
  }

  return lease => {
    const { key, part } = lease
    look(lease, key.quota, null)
    if (part) look(lease, part.lane, part.name)
  }
}

/** When nothing will be left; `null` where the window ends before that, or too little is known. */
function dryAtThisRate(meter: Meter, remaining: number, { from }: Watched, at: number): number | null {
  const stretch = at - from.at
  const used = from.remaining - remaining
  if (stretch < STRETCH || used <= 0) return null
  const dryAt = at + (remaining * stretch) / used
  const endsAt = meter.endsAt?.(at)
  return endsAt !== undefined && dryAt >= endsAt ? null : dryAt
}

function isLong(meter: Meter, at: number): boolean {
  const { per } = meter
  if (typeof per === 'string') return true
  return per === undefined ? (meter.endsAt?.(at) ?? 0) - at >= SHORTEST_WINDOW : per >= SHORTEST_WINDOW
}
