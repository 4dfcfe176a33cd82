import type { CacheForecast } from '../cache/plan.js'
import { dateAt, type Moment } from '../clock.js'
import { formatDuration } from '../duration.js'
import type { Explanation } from '../explanation.js'
import type { Demand } from './demand.js'
import { type Line, servedAt } from './forecast.js'
import type { Gates } from './gates.js'
import type { Keyring } from './keyring.js'
import type { PooledKey } from './pooled-key.js'
import { conditionOf } from './snapshot.js'

type KeyPart = Explanation['keys'][number]

export interface PreviewHost {
  readonly keyring: Keyring
  readonly gates: Gates
  moment(): Moment
  /** Who would stand before a request of this rank. */
  line(rank: 0 | 1 | 2): Line
}

/** How many keys an explanation lists at most. */
const LISTED = 100

/** Says which key a request would get, and when, without taking one. */
export function previews({ keyring, gates, moment, line }: PreviewHost) {
  return (demand: Demand, cache: CacheForecast): Omit<Explanation, 'method' | 'url'> => {
    const here = moment()
    const at = here.now
    const closure = gates.closure(demand.resources, at)
    const ahead = line(demand.rank)
    const before = ahead.size
    const part = demand.part === '' ? null : demand.part
    const keys = [...keyring.values()].map(key => partOf(key, demand, here))
    const common = { cache, part, ahead: before, keys: keys.slice(0, LISTED) }
    if (cache === 'fresh' || cache === 'stale') {
      return { ...common, outcome: 'from-cache', keyId: null, wait: 0, why: `The cache has an answer (${cache}).` }
    }
    if (cache === 'joined') {
      return {
        ...common,
        outcome: 'join',
        keyId: null,
        wait: null,
        why: 'An equal request is on its way: its answer serves both.',
      }
    }
    const next = closure ? undefined : keyring.peek(demand, at)
    if (next && before === 0) {
      return { ...common, outcome: 'send', keyId: next.id, wait: 0, why: `It would leave at once, with ${next.id}.` }
    }
    // A key of which other processes have all that this one would need, and leave it when they are asked.
    const shared = closure || before > 0 ? undefined : keys.find(({ usable }) => usable)
    if (shared) {
      const why = `It would leave with ${shared.keyId}, once other processes have been asked for a part of its limits.`
      return { ...common, outcome: 'send', keyId: shared.keyId, wait: 0, why }
    }
    const soonest = soonestOf(keys)
    const isHeld = !next && keys.some(({ why }) => why === HELD)
    const isServedAt = servedAt(keyring, demand, ahead, closure?.until ?? at, here)
    // Where no limit is known, nothing tells how fast those before it are served.
    const isUnknown = !Number.isFinite(isServedAt) || (before > 0 && isServedAt <= at)
    const wait = isUnknown ? null : isServedAt - at
    if (isServedAt > demand.deadline && !(isHeld && wait === null)) {
      const why =
        keys.length === 0
          ? 'The pool has no keys.'
          : `No key can serve it within maxWait${wait === null ? '' : `: the first is back in ${formatDuration(wait)}`}.`
      return { ...common, outcome: 'fail', keyId: null, wait, why }
    }
    const behind = before > 0 ? `, behind ${before} ${before === 1 ? 'other' : 'others'}` : ''
    const until =
      wait === null
        ? isHeld
          ? 'till a running request ends'
          : 'for a time that nobody knows'
        : `about ${formatDuration(wait)}`
    const keyId = next?.id ?? (isHeld ? null : (soonest?.keyId ?? null))
    return {
      ...common,
      outcome: 'wait',
      keyId,
      wait,
      why: `It would wait ${until}${behind}${closure ? `: refused for the ${closure.scope}` : ''}.`,
    }
  }
}

const HELD = 'is busy till a running request ends'

function partOf(key: PooledKey, { accepts, weigh, part }: Demand, moment: Moment): KeyPart {
  const at = moment.now
  const keyId = key.id
  const { state, cause, until } = conditionOf(key, moment, part, weigh)
  if (state === 'disabled') return { keyId, usable: false, cause, until: null, why: `is disabled (${cause})` }
  if (accepts && !accepts(key))
    return { keyId, usable: false, cause: null, until: null, why: 'cannot serve such a request' }
  const { quota } = key
  const opensAt = Math.max(quota.availableAt(weigh, at), quota.parts.get(part)?.availableAt(weigh, at) ?? at)
  if (opensAt <= at || state === 'ready') return { keyId, usable: true, cause: null, until: null, why: 'is ready' }
  if (opensAt === Number.POSITIVE_INFINITY) return { keyId, usable: false, cause, until: null, why: HELD }
  const why = state === 'cooling' ? `was refused (${cause})` : 'is at its limits'
  return { keyId, usable: false, cause, until: until ?? dateAt(moment, opensAt), why }
}

function soonestOf(keys: readonly KeyPart[]): { readonly keyId: string; readonly date: Date } | undefined {
  let first: { keyId: string; date: Date } | undefined
  for (const { keyId, until } of keys) {
    if (until && (!first || until < first.date)) first = { keyId, date: until }
  }
  return first
}
