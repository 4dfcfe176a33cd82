import { formatDuration } from '../duration.js'
import type { KeySnapshot, LimitSnapshot } from '../key-snapshot.js'
import type { PoolStats } from './counters.js'
import { type Diagnosis, type DiagnosisFacts, diagnosisOf, type Finding, type Look } from './diagnosis.js'
import { TTLS } from './habits.js'
import type { SeriesPoint } from './series.js'
import { addressLimit, deadEndpoints, limitedResource, requestErrors } from './wide-findings.js'

/** Less of the attempts than this are not worth a word. */
const NOTABLE = 0.01
/** A request that makes up so much of all, so often, is no coincidence. */
const HAMMERED = { share: 0.3, count: 20, perMinute: 60 }
/** A cache that would save less of the GETs is not worth it. */
const WORTH_CACHING = 0.1
/** A second with so many times the usual calls is a burst. */
const BURST = 5
/** Fewer calls in a second are no burst. */
const FEW = 10

/** Why keys are running out, in order of weight, each with evidence in numbers and what to do. */
export function diagnose(facts: DiagnosisFacts): Diagnosis {
  const found = explained(LOOKS.flatMap(look => look(facts) ?? []))
  return diagnosisOf(found, facts.at, facts.stats.attempts)
}

const rateLimits: Look = ({ stats, keys, shared, incidents }) => {
  const { attempts, refused, peak } = lately(stats)
  const refusals = stats.refusals['rate-limit']
  const share = refused / Math.max(1, attempts)
  const capacity = capacityOf(keys)
  const isShort = capacity !== undefined && peak > capacity.all
  if ((refusals === 0 || share < NOTABLE) && !isShort) return undefined
  const keyIds = keys.filter(({ id }) => (stats.keys[id]?.refusals['rate-limit'] ?? 0) > 0).map(({ id }) => id)
  const needed = capacity && Math.ceil(peak / capacity.each)
  const more = needed === undefined ? 0 : Math.max(0, needed - keys.length)
  const lower = declaredTooHigh(keys)
  const evidence = {
    attempts,
    refused,
    refusedShare: percent(share),
    callsInBusiestMinute: peak,
    allowedInAMinute: capacity ? Math.floor(capacity.all) : null,
    waitP95: formatDuration(stats.waits.p95),
    ...(incidents.ofTokens > 0 && { refusedForTokens: incidents.ofTokens }),
    ...(incidents.withoutWait > 0 && { refusedWithoutSayingForHowLong: incidents.withoutWait }),
    ...(lower && { declared: lower.declared, found: lower.found }),
  }
  const limitsTokens = keys.some(({ limits }) => limits.some(({ unit }) => unit === 'tokens'))
  const advice = [
    ...(incidents.ofTokens > 0 && !limitsTokens ? ['declare the limit of tokens that the service documents'] : []),
    ...(lower ? [`declare ${lower.found} instead of ${lower.declared}`] : []),
    ...(!lower && keys.every(({ limits }) => limits.every(({ learnt }) => learnt)) ? [declareAdvice(keys)] : []),
    ...(more > 0 && shared.length === 0
      ? [`add ${more} ${more === 1 ? 'key' : 'keys'} of the same kind, or ask for less`]
      : []),
  ]
  const weight = Math.min(1, Math.max(share, isShort ? 1 - capacity.all / peak : 0))
  const summary = isShort
    ? 'More is asked than the keys’ limits allow.'
    : lower
      ? 'The declared limits are higher than the real ones.'
      : 'Rate limits are exceeded.'
  const last = advice.length > 0 ? advice.join('; ') : 'nothing: the pool has found the limits and keeps to them'
  return { kind: 'rate-limits', weight, summary, keyIds, evidence, advice: last }
}

const bursts: Look = facts => {
  const { stats, keys } = facts
  const seconds = stats.series.seconds
  const calls = sum(seconds, 'calls')
  const refused = sum(seconds, 'limited')
  const busiest = Math.max(0, ...seconds.map(each => each.calls))
  const since = seconds[0] ? (facts.at.getTime() - seconds[0].at.getTime()) / 1000 : 0
  const usual = calls / Math.max(1, since)
  const capacity = capacityOf(keys)
  // A pool that is short of capacity has another problem.
  if (busiest < FEW || busiest < BURST * usual || (capacity && calls > capacity.all / 2)) return undefined
  const wait = stats.waits.p95
  if (refused === 0 && wait < 1_000) return undefined
  const weight = Math.min(1, Math.max(refused / Math.max(1, sum(seconds, 'attempts')), wait > 1_000 ? 0.2 : 0))
  return {
    kind: 'bursts',
    weight,
    summary: 'Requests come in bursts, though there are few of them on the whole.',
    keyIds: [],
    evidence: {
      callsInBusiestSecond: busiest,
      callsInASecondOnAverage: round(usual),
      refused,
      waitP95: formatDuration(wait),
    },
    advice: 'spread them over time, or let fewer run at once',
  }
}

const turnedAway: Look = ({ stats, keys }) => {
  const calls = sum(stats.series.minutes, 'calls')
  const lost = sum(stats.series.minutes, 'turnedAway')
  // Where no key is good, waiting longer helps nobody.
  if (lost === 0 || keys.every(({ state }) => state === 'disabled')) return undefined
  const busy = keys.filter(({ state }) => state === 'busy').length
  return {
    kind: 'turned-away',
    weight: Math.min(1, lost / Math.max(1, calls)),
    summary: 'Calls found no key in time, or their callers gave up waiting for one.',
    keyIds: [],
    evidence: {
      calls,
      turnedAway: lost,
      share: percent(lost / Math.max(1, calls)),
      waitP95: formatDuration(stats.waits.p95),
      keysAtTheirLimits: busy,
      keys: keys.length,
    },
    advice: 'let them wait longer (maxWait, and the callers’ own timeouts), spread them over time, or add keys',
  }
}

const hammering: Look = ({ stats, habits: { most, sent } }) => {
  if (!most || most.count < HAMMERED.count || most.count / sent < HAMMERED.share) return undefined
  const perMinute = most.count / Math.max(1, most.span / 60_000)
  return {
    kind: 'hammering',
    weight: Math.min(
      1,
      (most.count / sent) *
        (stats.refusals['rate-limit'] + stats.refusals.quota > 0 || perMinute >= HAMMERED.perMinute ? 1 : 0.5),
    ),
    summary: 'The same request is sent again and again.',
    keyIds: [],
    evidence: {
      request: `${most.method} ${most.url}`,
      times: most.count,
      ofAllSent: percent(most.count / sent),
      perMinute: round(perMinute),
    },
    advice: `look for a loop or a timer that is too fast; if it is meant, keep the answer for a while (cache.ttl${
      most.method === 'GET' || most.method === 'HEAD'
        ? ''
        : `, with '${most.method}' in cache.methods if repeating it changes nothing`
    })`,
  }
}

const caching: Look = ({ habits: { gets, savedBy } }) => {
  const most = savedBy.at(-1)!
  const share = most / Math.max(1, gets)
  if (gets < 20 || share < WORTH_CACHING) return undefined
  // The shortest lifetime that saves nearly as much as the longest.
  const index = savedBy.findIndex(saved => saved >= 0.8 * most)
  const saved = savedBy[index]!
  return {
    kind: 'insufficient-caching',
    weight: Math.min(1, saved / gets) * 0.8,
    summary: 'Answers are asked for again that could have been kept.',
    keyIds: [],
    evidence: {
      gets,
      repeated: most,
      repeatedShare: percent(share),
      savedByTtl: `${saved} with ${formatDuration(TTLS[index]!)}`,
    },
    advice: `cache: { ttl: '${formatDuration(TTLS[index]!)}' } would have saved ${percent(saved / gets)} of the GETs, where their answers don’t forbid it (no-store) and may be so old`,
  }
}

const trouble: Look = ({ stats }) => {
  const { attempts, troubled } = lately(stats)
  const share = troubled / Math.max(1, attempts)
  if (troubled === 0 || share < NOTABLE) return undefined
  return {
    kind: 'provider-trouble',
    weight: Math.min(1, share),
    summary: 'The service is in trouble: errors of its own, overload, or no answer at all.',
    keyIds: [],
    evidence: {
      attempts,
      troubled,
      share: percent(share),
      overloads: stats.refusals.overload,
      ...(stats.retriesOverBudget > 0 && { retriesOverBudget: stats.retriesOverBudget }),
      latencyP95: formatDuration(stats.latency.p95),
    },
    advice: 'nothing is wrong with the keys: wait, look at the service’s status page, or send less for a while',
  }
}

const quota: Look = ({ stats, keys }) => {
  const out = keys.filter(({ state, cause, parts }) => {
    return (state !== 'ready' && cause === 'quota') || parts.some(part => part.cause === 'quota')
  })
  if (out.length === 0) return undefined
  const parts = new Set(out.flatMap(key => key.parts.filter(part => part.cause === 'quota').map(({ name }) => name)))
  const isWhole = out.every(({ state, cause }) => state !== 'ready' && cause === 'quota')
  const back = out
    .flatMap(key => [key.until, ...key.parts.map(part => (part.cause === 'quota' ? part.until : null))])
    .flatMap(until => until?.getTime() ?? [])
  return {
    kind: 'quota',
    weight: out.length / keys.length,
    summary: `The quota of ${out.length === keys.length ? 'every key' : 'some keys'} is used up${isWhole ? '' : ' for some of what they may ask'}.`,
    keyIds: out.map(({ id }) => id),
    evidence: {
      keys: out.length,
      ofKeys: keys.length,
      refusals: stats.refusals.quota,
      ...(parts.size > 0 && { parts: [...parts].slice(0, 10).join(' ') }),
      firstBack: back.length > 0 ? new Date(Math.min(...back)).toISOString() : null,
    },
    advice:
      'top the accounts up or raise their plan; pool.reset(id) makes the key usable at once, and it is tried now and then anyway',
  }
}

const badKeys: Look = ({ keys, unbelieved }) => {
  const bad = keys.filter(({ state, cause }) => state === 'disabled' && cause !== 'disabled')
  if (bad.length === 0 && unbelieved === 0) return undefined
  const isDoubtful = bad.length === 0 || unbelieved > 0
  return {
    kind: 'invalid-keys',
    weight: bad.length / Math.max(1, keys.length) || 0.3,
    summary: isDoubtful
      ? 'Keys that had worked were refused as invalid, one after another: hardly the keys’ fault.'
      : 'Keys are invalid or have expired.',
    keyIds: bad.map(({ id }) => id),
    evidence: { keys: bad.length, ofKeys: keys.length, refusedAlthoughTheyWorked: unbelieved },
    advice: isDoubtful
      ? 'look at the account, at rights that the request needs, and at the service’s status page'
      : 'replace them (pool.remove and pool.add, or pool.refresh)',
  }
}

const sharedLimit: Look = ({ shared, keys }) => {
  if (shared.length === 0) return undefined
  return {
    kind: 'shared-limit',
    weight: shared.length / Math.max(1, keys.length),
    summary: 'Keys share one limit: refused alike, though they had not been used.',
    keyIds: shared,
    evidence: { keys: shared.length, ofKeys: keys.length },
    advice: 'give the keys of one account the same `group`; more keys of that account bring no more',
  }
}

/** The last hour, by the minute. */
function lately({ series: { minutes } }: PoolStats) {
  return {
    attempts: sum(minutes, 'attempts'),
    refused: sum(minutes, 'limited'),
    troubled: sum(minutes, 'troubled'),
    peak: Math.max(0, ...minutes.map(({ calls, cacheHits }) => calls - cacheHits)),
  }
}

/** Requests that the keys' limits allow in a minute, declared or learnt; `undefined` where a key has none. */
function capacityOf(keys: readonly KeySnapshot[]): { readonly all: number; readonly each: number } | undefined {
  const usable = keys.filter(({ state }) => state !== 'disabled')
  const rates = usable.map(({ limits }) => Math.min(Number.POSITIVE_INFINITY, ...limits.map(perMinute)))
  if (rates.length === 0 || rates.some(rate => rate === Number.POSITIVE_INFINITY)) return undefined
  const all = rates.reduce((total, rate) => total + rate, 0)
  return { all, each: all / rates.length }
}

/** A limit of a longer window is no matter of minutes, in milliseconds. */
const LONG = 600_000

function perMinute({ unit, limit, per }: LimitSnapshot): number {
  if (unit !== 'requests' || limit === null) return Number.POSITIVE_INFINITY
  // What a day allows may be used in any minute of it: a busy one says nothing.
  if (per === null || typeof per === 'string' || per > LONG) return Number.POSITIVE_INFINITY
  return (limit / per) * 60_000
}

/** A declared limit beside which a lower one was found. */
function declaredTooHigh(
  keys: readonly KeySnapshot[],
): { readonly declared: string; readonly found: string } | undefined {
  for (const { limits } of keys) {
    const counted = limits.filter(({ unit, per }) => unit === 'requests' && typeof per === 'number')
    const declared = counted.find(({ learnt }) => !learnt)
    const found = counted.find(({ learnt }) => learnt)
    if (declared && found && perMinute(found) < perMinute(declared) * 0.9) {
      return { declared: inWords(declared), found: inWords(found) }
    }
  }
  return undefined
}

function declareAdvice(keys: readonly KeySnapshot[]): string {
  const found = keys
    .flatMap(({ limits }) => limits)
    .find(({ unit, per }) => unit === 'requests' && typeof per === 'number')
  return found
    ? `declare limits: the pool has found ${inWords(found)}`
    : 'declare the limits that the service documents'
}

function inWords({ limit, per }: LimitSnapshot): string {
  return `${limit} in ${formatDuration(per as number)}`
}

function sum(points: readonly SeriesPoint[], metric: Exclude<keyof SeriesPoint, 'at'>): number {
  return points.reduce((total, point) => total + point[metric], 0)
}

function percent(share: number): string {
  return `${round(share * 100)}%`
}

function round(value: number): number {
  return Number(value.toFixed(1))
}

const LOOKS: readonly Look[] = [
  ...[rateLimits, bursts, turnedAway, hammering, caching, trouble, quota, badKeys, sharedLimit],
  ...[addressLimit, limitedResource, requestErrors, deadEndpoints],
]

/** Findings that say why calls find no key, so that more keys of the same kind are no help. */
const REASONS: ReadonlySet<Finding['kind']> = new Set(['shared-limit', 'address-limit', 'limited-resource', 'quota'])

/** That calls were turned away is what the others came to: it stands behind its reason, and advises nothing against it. */
function explained(found: readonly Finding[]): Finding[] {
  const reasons = found.filter(({ kind }) => REASONS.has(kind))
  if (reasons.length === 0) return [...found]
  const heaviest = Math.max(...reasons.map(({ weight }) => weight))
  const advice = 'mend what the other findings name; waiting longer (maxWait) helps where the limit ends soon'
  return found.map(each =>
    each.kind === 'turned-away' ? { ...each, weight: Math.min(each.weight, heaviest * 0.99), advice } : each,
  )
}
