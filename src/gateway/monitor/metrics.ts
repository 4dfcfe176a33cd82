import type { PooledFetch } from 'fetch-keypool'

/** What is counted of callers, by route. */
export interface Served {
  /** By status. */
  readonly answers: Map<number, number>
  /** By policy. */
  readonly refusals: Map<string, number>
}

/** What `/metrics` tells of one route. */
export interface Measured {
  readonly path: string
  readonly fetch: PooledFetch
  readonly served: Served
}

type Labels = Readonly<Record<string, string | number>>

/** One metric with its samples. */
class Family {
  readonly #lines: string[]
  readonly #name: string

  constructor(name: string, type: 'counter' | 'gauge', help: string) {
    this.#name = `keypool_${name}`
    this.#lines = [`# HELP ${this.#name} ${help}`, `# TYPE ${this.#name} ${type}`]
  }

  add(labels: Labels, value: number): void {
    const text = Object.entries(labels)
      .map(([label, each]) => `${label}="${String(each).replace(/["\\\n]/g, c => (c === '\n' ? '\\n' : `\\${c}`))}"`)
      .join(',')
    this.#lines.push(`${this.#name}{${text}} ${value}`)
  }

  toString(): string {
    return this.#lines.length > 2 ? `${this.#lines.join('\n')}\n` : ''
  }
}

const STATES = ['ready', 'busy', 'cooling', 'probing', 'disabled'] as const

/** Everything in Prometheus' text format (0.0.4); made of `stats()` when it is asked for, and free till then. */
export function metricsText(routes: readonly Measured[]): string {
  const answers = new Family('gateway_answers_total', 'counter', 'Answers to callers, by status.')
  const refusals = new Family('gateway_refusals_total', 'counter', 'Requests that a policy has refused.')
  const requests = new Family('requests_total', 'counter', 'Requests sent with a key.')
  const refused = new Family('key_refusals_total', 'counter', 'Refusals of a key, by cause.')
  const retries = new Family('retries_total', 'counter', 'Requests sent again after a failure.')
  const state = new Family('key_state', 'gauge', 'The state of a key: 1 for the one that it is in.')
  const inFlight = new Family('key_in_flight', 'gauge', 'Requests on their way with a key.')
  const limit = new Family('key_limit', 'gauge', 'A limit of a key.')
  const remaining = new Family('key_remaining', 'gauge', 'What is left of a limit of a key.')
  const resets = new Family('key_back_seconds', 'gauge', 'Seconds until a key is usable again.')
  const waiting = new Family('waiting', 'gauge', 'Requests that wait for a key.')
  const waited = new Family('wait_seconds', 'gauge', 'How long requests have waited for a key, by quantile.')
  const latency = new Family('latency_seconds', 'gauge', 'How long the service took to answer, by quantile.')
  const cache = new Family('cache_total', 'counter', 'What the cache has answered, and what it has not.')

  for (const { path: route, fetch, served } of routes) {
    for (const [status, count] of served.answers) answers.add({ route, status }, count)
    for (const [policy, count] of served.refusals) refusals.add({ route, policy }, count)
    const stats = fetch.pool.stats()
    waiting.add({ route }, stats.waiting)
    retries.add({ route }, stats.retries)
    for (const [what, count] of Object.entries(stats.cache))
      if (typeof count === 'number') cache.add({ route, what }, count)
    for (const [quantile, name] of [
      [0.5, 'p50'],
      [0.95, 'p95'],
      [0.99, 'p99'],
    ] as const) {
      waited.add({ route, quantile }, (stats.waits[name] ?? 0) / 1000)
      latency.add({ route, quantile }, (stats.latency[name] ?? 0) / 1000)
    }
    for (const key of fetch.pool.keys()) {
      const of = stats.keys[key.id]
      if (of) {
        requests.add({ route, key: key.id }, of.attempts)
        for (const [cause, count] of Object.entries(of.refusals)) refused.add({ route, key: key.id, cause }, count)
      }
      for (const each of STATES) state.add({ route, key: key.id, state: each }, key.state === each ? 1 : 0)
      inFlight.add({ route, key: key.id }, key.inFlight)
      resets.add({ route, key: key.id }, key.until ? Math.max(0, (key.until.getTime() - Date.now()) / 1000) : 0)
      for (const { unit, per, limit: most, remaining: left } of key.limits) {
        const window = per === null ? '' : typeof per === 'number' ? `${per / 1000}s` : per
        if (most !== null) limit.add({ route, key: key.id, unit, per: window }, most)
        remaining.add({ route, key: key.id, unit, per: window }, left)
      }
    }
  }
  return [
    answers,
    refusals,
    requests,
    refused,
    retries,
    state,
    inFlight,
    limit,
    remaining,
    resets,
    waiting,
    waited,
    latency,
    cache,
  ].join('')
}
