import type { Moment } from '../clock.js'
import type { Cause } from '../events.js'
import { Histogram, type Percentiles } from './histogram.js'
import { type Series, SeriesCounter } from './series.js'

/** What has happened since the pool was made, in plain numbers, and what has happened lately. */
export interface PoolStats {
  /** Calls to the pooled origins. */
  readonly requests: number
  /** Calls to other origins, which passed through untouched. */
  readonly passedThrough: number
  /** How often something was sent, rotations and retries included. */
  readonly attempts: number
  /** Attempts that went on with another key. */
  readonly rotations: number
  /** Attempts that repeated a transient failure. */
  readonly retries: number
  /** Retries that were not made, as the pool's retry budget was spent: its calls were given what had failed. */
  readonly retriesOverBudget: number
  /** Calls that were answered, and calls that were rejected. */
  readonly answered: number
  readonly failed: number
  /** Calls that found no key within `maxWait`, or whose callers gave up waiting for one. */
  readonly turnedAway: number
  /** Refusals by cause. */
  readonly refusals: Readonly<Record<Cause, number>>
  /** Bytes of answers, by their `Content-Length`. */
  readonly bytes: number
  /** Tokens, as far as answers told them; counted where a limit of tokens is declared. */
  readonly tokens: number
  /** Calls waiting for a key now. */
  readonly waiting: number
  /** Attempts on their way now. */
  readonly inFlight: number
  /** How long calls have waited for keys lately (the last five to ten minutes), also in vain, in milliseconds. */
  readonly waits: Percentiles
  /** How long attempts took to be answered lately, in milliseconds. */
  readonly latency: Percentiles
  /** Over time. */
  readonly series: Series
  readonly cache: {
    readonly hits: number
    readonly misses: number
    readonly joined: number
    readonly revalidated: number
    readonly stale: number
    /** How often the store failed; the calls went on without it. */
    readonly storeErrors: number
  }
  /** Each key's own numbers, by its id. */
  readonly keys: Readonly<Record<string, KeyStats>>
}

/** One key's numbers. */
export interface KeyStats {
  readonly attempts: number
  /** Attempts that the server let pass. */
  readonly passed: number
  readonly refusals: Readonly<Partial<Record<Cause, number>>>
  /** Requests that went on with another key after this one was refused. */
  readonly rotations: number
  /** Attempts with it that repeated a transient failure. */
  readonly retries: number
  readonly bytes: number
  readonly tokens: number
  /** How long calls had waited that it served in the end. */
  readonly waits: Percentiles
  readonly latency: Percentiles
  readonly series: Series
}

/** How an attempt ended, for the counts. */
export interface AttemptEnd {
  readonly keyId: string
  readonly latency: number
  readonly bytes: number
}

/** Counts: numbers that only grow, and what is recent in rings and histograms of a fixed size. Cheap enough to be always on. */
export class Counters {
  readonly #moment: () => Moment
  requests = 0
  passedThrough = 0
  attempts = 0
  rotations = 0
  retries = 0
  retriesOverBudget = 0
  answered = 0
  failed = 0
  turnedAway = 0
  bytes = 0
  tokens = 0
  readonly refusals: Record<Cause, number> = {
    'rate-limit': 0,
    quota: 0,
    overload: 0,
    'invalid-key': 0,
    expired: 0,
    disabled: 0,
  }
  readonly cache = { hits: 0, misses: 0, joined: 0, revalidated: 0, stale: 0, storeErrors: 0 }
  readonly waits = new Histogram()
  readonly latency = new Histogram()
  readonly series = new SeriesCounter()
  readonly keys = new Map<string, KeyCounters>()

  constructor(moment: () => Moment) {
    this.#moment = moment
  }

  called(): void {
    this.requests++
    this.series.add('calls', 1, this.#moment().now)
  }

  attempt(keyId: string): void {
    const now = this.#moment().now
    this.attempts++
    this.series.add('attempts', 1, now)
    const key = this.key(keyId)
    key.attempts++
    key.series.add('attempts', 1, now)
  }

  /** A call has waited so long and is served by a key. */
  waited(keyId: string, milliseconds: number): void {
    const now = this.#moment().now
    this.waits.add(milliseconds, now)
    this.key(keyId).waits.add(milliseconds, now)
  }

  /** A call has waited so long and got no key. */
  waitedInVain(milliseconds: number): void {
    const { now } = this.#moment()
    this.turnedAway++
    this.waits.add(milliseconds, now)
    this.series.add('turnedAway', 1, now)
  }

  /** An answer has come that the server gave willingly. */
  passed({ keyId, latency, bytes }: AttemptEnd): void {
    const now = this.#moment().now
    const key = this.key(keyId)
    this.latency.add(latency, now)
    key.latency.add(latency, now)
    this.bytes += bytes
    key.bytes += bytes
    key.passed++
    this.series.add('passed', 1, now)
    key.series.add('passed', 1, now)
  }

  refusal(keyId: string, cause: Cause): void {
    const now = this.#moment().now
    const key = this.key(keyId)
    this.refusals[cause]++
    key.refusals[cause] = (key.refusals[cause] ?? 0) + 1
    if (cause === 'overload') return
    this.series.add('refused', 1, now)
    key.series.add('refused', 1, now)
    if (cause !== 'rate-limit') return
    this.series.add('limited', 1, now)
    key.series.add('limited', 1, now)
  }

  /** The server was in trouble, or no answer came. */
  troubled(keyId: string): void {
    this.series.add('troubled', 1, this.#moment().now)
    this.key(keyId).series.add('troubled', 1, this.#moment().now)
  }

  rotated(fromKeyId: string): void {
    this.rotations++
    this.key(fromKeyId).rotations++
  }

  retried(keyId: string): void {
    this.retries++
    this.key(keyId).retries++
  }

  tookTokens(keyId: string, tokens: number): void {
    this.tokens += tokens
    const key = this.key(keyId)
    key.tokens += tokens
    this.series.add('tokens', tokens, this.#moment().now)
    key.series.add('tokens', tokens, this.#moment().now)
  }

  cacheHit(): void {
    this.cache.hits++
    this.series.add('cacheHits', 1, this.#moment().now)
  }

  forget(keyId: string): void {
    this.keys.delete(keyId)
  }

  snapshot(waiting: number, inFlight: number): PoolStats {
    const moment = this.#moment()
    const { now } = moment
    const keys: Record<string, KeyStats> = {}
    for (const [id, key] of this.keys) keys[id] = key.snapshot(moment)
    const { requests, passedThrough, attempts, rotations, retries, answered, failed, turnedAway, bytes, tokens } = this
    return {
      ...{
        requests,
        passedThrough,
        attempts,
        rotations,
        retries,
        retriesOverBudget: this.retriesOverBudget,
        answered,
        failed,
        turnedAway,
        bytes,
        tokens,
        waiting,
        inFlight,
      },
      refusals: { ...this.refusals },
      waits: this.waits.read(now),
      latency: this.latency.read(now),
      series: this.series.read(moment),
      cache: { ...this.cache },
      keys,
    }
  }

  key(id: string): KeyCounters {
    let key = this.keys.get(id)
    if (!key) {
      key = new KeyCounters()
      this.keys.set(id, key)
    }
    return key
  }
}

class KeyCounters {
  attempts = 0
  passed = 0
  rotations = 0
  retries = 0
  bytes = 0
  tokens = 0
  readonly refusals: Partial<Record<Cause, number>> = {}
  readonly waits = new Histogram()
  readonly latency = new Histogram()
  readonly series = new SeriesCounter()

  snapshot(moment: Moment): KeyStats {
    const { now } = moment
    const { attempts, passed, rotations, retries, bytes, tokens } = this
    return {
      ...{ attempts, passed, rotations, retries, bytes, tokens, refusals: { ...this.refusals } },
      waits: this.waits.read(now),
      latency: this.latency.read(now),
      series: this.series.read(moment),
    }
  }
}
