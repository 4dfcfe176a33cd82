import { type Moment, momentOf } from '../clock.js'
import type { Weigh } from '../limiter/limiter.js'
import type { Demand } from './demand.js'
import type { Keyring } from './keyring.js'
import type { KeyQuota } from './pooled-key.js'
import { conditionOf } from './snapshot.js'

/** So many of those in line are asked for what they weigh. */
const SAMPLE = 100
/** How far a forecast looks ahead, in milliseconds: a month and a day. */
const HORIZON_MS = 32 * 86_400_000

/** Who stands in line before a request. */
export interface Line {
  readonly size: number
  readonly demands: Iterable<Demand>
}

/**
 * From when a request would be served behind those that are in line, if they are served as fast as the keys' limits and
 * cooldowns let them be: as far as can be told now. `Infinity`: never, or nobody knows.
 *
 * @param opensAt - before which nothing goes out
 */
export function servedAt(keyring: Keyring, demand: Demand, line: Line, opensAt: number, moment: Moment): number {
  const { now } = moment
  const { size, alike, weigh } = averageOf(demand, line)
  const sources = sourcesOf(keyring, demand, moment)
  const supply = (at: number, ofPart: boolean) => {
    if (at < opensAt) return 0
    let sum = 0
    for (const { quota, from } of sources)
      if (at >= from) sum += supplyOf(quota, ofPart ? demand.part : '', at, weigh, now)
    return sum
  }
  const isServed = (at: number) =>
    supply(at, false) >= size + 1 && (demand.part === '' || supply(at, true) >= alike + 1)
  if (isServed(now)) return now
  let span = 1
  while (!isServed(now + span)) {
    if (span > HORIZON_MS) return Number.POSITIVE_INFINITY
    span *= 2
  }
  let [before, after] = [now + span / 2, now + span]
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2)
    if (isServed(middle)) after = middle
    else before = middle
  }
  return Math.ceil(after)
}

/** How many stand in line, how many of them share the request's part, and what one weighs on average, with the request itself. */
function averageOf(demand: Demand, { size, demands }: Line) {
  const sample: Demand[] = [demand]
  let alike = 0
  let seen = 0
  for (const each of demands) {
    seen++
    if (each.part === demand.part) alike++
    if (sample.length < SAMPLE) sample.push(each)
  }
  // Those that stand farther back are not in sight, and have no part.
  alike += size - seen
  const weigh: Weigh = meter => sample.reduce((sum, each) => sum + each.weigh(meter), 0) / sample.length
  return { size, alike, weigh }
}

/** The quotas that may serve it, and from when. */
function sourcesOf(keyring: Keyring, { accepts, part, weigh }: Demand, moment: Moment) {
  const sources = new Map<KeyQuota, number>()
  for (const key of keyring.values()) {
    if (accepts && !accepts(key)) continue
    const { state, until } = conditionOf(key, moment, part, weigh)
    if (state === 'disabled') continue
    const from = state === 'cooling' && until ? momentOf(moment, until.getTime()) : moment.now
    sources.set(key.quota, Math.min(from, sources.get(key.quota) ?? Number.POSITIVE_INFINITY))
  }
  return [...sources].map(([quota, from]) => ({ quota, from }))
}

function supplyOf(quota: KeyQuota, part: string, at: number, weigh: Weigh, now: number): number {
  const ofWhole = quota.limiter.supplyUntil(at, weigh, now)
  const lane = part === '' ? undefined : quota.parts.get(part)
  // In whole requests: the third of one and the third of another serve nobody.
  return Math.floor(lane ? Math.min(ofWhole, lane.limiter.supplyUntil(at, weigh, now)) : ofWhole)
}
