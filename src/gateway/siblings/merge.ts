import type { Overview } from '../operator/overview.js'

/** The worst of several states is what the operator must know of. */
const STATES = ['ready', 'busy', 'probing', 'cooling', 'disabled']
/** Quantiles and times can't be added: the largest is told. */
const LARGEST = /^(?:p\d+|max|until|at|from)$/

/**
 * What several processes tell of one route, as one: counts are added, states are the worst.
 *
 * @param isShared - whether they share their limits: then each tells of all that is left
 */
export function mergeOverviews(all: readonly Overview[], isShared: boolean): Overview {
  const [first, ...others] = all as [Overview, ...Overview[]]
  return {
    ...first,
    keys: first.keys.map(key => {
      const same = others.flatMap(({ keys }) => keys.filter(({ id }) => id === key.id))
      return [key, ...same].reduce((a, b) => mergeKeys(a, b, isShared))
    }),
    stats: all.map(({ stats }) => stats).reduce((a, b) => add(a, b)),
    seconds: mergeSeconds(all),
    diagnosis: [...new Set(all.map(({ diagnosis }) => diagnosis))].join('\n'),
  }
}

type Key = Overview['keys'][number]

function mergeKeys(a: Key, b: Key, isShared: boolean): Key {
  const worst = STATES.indexOf(a.state) >= STATES.indexOf(b.state) ? a : b
  return {
    ...worst,
    attempts: a.attempts + b.attempts,
    refusals: add(a.refusals, b.refusals),
    inFlight: a.inFlight + b.inFlight,
    limits: worst.limits.map((limit, index) => {
      const other = (worst === a ? b : a).limits[index]
      if (!other) return limit
      if (isShared) return { ...limit, remaining: Math.min(limit.remaining, other.remaining) }
      return {
        ...limit,
        limit: limit.limit === null || other.limit === null ? limit.limit : limit.limit + other.limit,
        remaining: limit.remaining + other.remaining,
      }
    }),
  }
}

function mergeSeconds(all: readonly Overview[]): Overview['seconds'] {
  const byTime = new Map<number, Overview['seconds'][number]>()
  for (const { seconds } of all) {
    for (const second of seconds) {
      const time = new Date(second.at).getTime()
      const known = byTime.get(time)
      byTime.set(time, known ? { ...add(known, second), at: second.at } : second)
    }
  }
  return [...byTime].sort(([a], [b]) => a - b).map(([, second]) => second)
}

/** Adds up the numbers of two objects of one form. */
function add<Value>(a: Value, b: Value): Value {
  if (typeof a !== 'object' || a === null || Array.isArray(a) || a instanceof Date) return a
  const sum = { ...a } as Record<string, unknown>
  for (const [name, value] of Object.entries(b as Record<string, unknown>)) {
    const own = sum[name]
    if (typeof own === 'number' && typeof value === 'number') {
      sum[name] = LARGEST.test(name) ? Math.max(own, value) : own + value
    } else sum[name] = own === undefined || own === null ? value : add(own, value)
  }
  return sum as Value
}

/** Metrics of which the largest is told, as they can't be added. */
const GAUGES = /^keypool_(?:key_state|key_back_seconds|wait_seconds|latency_seconds)\b/
const LEFT = /^keypool_(?:key_limit|key_remaining)\b/

/** What several processes tell Prometheus, as one. */
export function mergeMetrics(all: readonly string[], isShared: boolean): string {
  const samples = new Map<string, number>()
  const lines: string[] = []
  for (const text of all) {
    for (const line of text.split('\n')) {
      const space = line.lastIndexOf(' ')
      if (line === '') continue
      const name = line.startsWith('#') ? line : line.slice(0, space)
      const value = Number(line.slice(space + 1))
      const known = samples.get(name)
      if (known === undefined) {
        lines.push(name)
        samples.set(name, line.startsWith('#') ? Number.NaN : value)
      } else if (!line.startsWith('#')) {
        const isLargest = GAUGES.test(name) || (isShared && LEFT.test(name))
        samples.set(name, isLargest ? Math.max(known, value) : known + value)
      }
    }
  }
  // A metric's samples stand together, behind its own head (Prometheus' text format).
  const heads = lines.filter(line => line.startsWith('# HELP'))
  const sorted = heads.flatMap(head => {
    const metric = head.split(' ')[2]!
    return lines.filter(line => (line.startsWith('#') ? line.split(' ')[2] === metric : line.split('{')[0] === metric))
  })
  return `${sorted.map(line => (line.startsWith('#') ? line : `${line} ${samples.get(line)}`)).join('\n')}\n`
}
