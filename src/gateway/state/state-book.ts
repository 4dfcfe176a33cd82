import { createHash } from 'node:crypto'
import type { Sharing } from 'fetch-keypool'
import { dateAt, type Moment, momentOf, thisMoment } from '../../clock.js'
import type { Finding } from '../../learning/hidden-limit.js'
import type { SharedMeter } from '../../limiter/meter.js'
import { atMoments, type News } from '../../pool/news.js'
import type { KeyQuota, PooledKey } from '../../pool/pooled-key.js'
import type { SharedPool } from '../../sharing.js'

/** Windows that are shorter are forgotten with the process, in milliseconds: by the time that it is back, they are over. */
const LONG = 3_600_000
/** What is kept is of no use after so long, in milliseconds. */
const KEPT = 32 * 86_400_000
/** So many parts of a quota are kept. */
const PARTS = 200

/** What is kept of one quota. */
interface Kept {
  at: number
  /** By part, and the key's standing under `key`. */
  news: Record<string, News>
  /** How much of each long window was used, by its shape, and when it ends. */
  used: Record<string, { units: number; until: number }>
  finding?: Finding | undefined
}

/** All that is kept, as plain data. Names are hashes of keys. */
export type StateData = Record<string, Kept>

/**
 * Keeps what a pool has found out for the next pool of the same keys: the same process after its configuration has
 * changed, or another one after this has ended.
 *
 * It is what sharing is, with oneself, later.
 */
export class StateBook {
  #data: StateData
  readonly #open = new Set<{ readonly pool: SharedPool; readonly quotas: Set<KeyQuota> }>()
  readonly #changed: () => void

  constructor(data: StateData, changed: () => void) {
    this.#data = data
    this.#changed = changed
  }

  /** For the pool of one route. */
  sharing(route: string): Sharing {
    return { join: pool => this.#join(pool, route) }
  }

  /** Everything, brought up to date. */
  read(): StateData {
    for (const { pool, quotas } of this.#open) for (const quota of quotas) this.#note(quota, thisMoment(pool.clock))
    const now = Date.now()
    this.#data = Object.fromEntries(Object.entries(this.#data).filter(([, { at }]) => now - at < KEPT))
    return this.#data
  }

  readonly #names = new WeakMap<KeyQuota | PooledKey, string>()

  #join(pool: SharedPool, route: string): ReturnType<Sharing['join']> {
    const quotas = new Set<KeyQuota>()
    const entry = { pool, quotas }
    this.#open.add(entry)
    const restored = new Set<KeyQuota>()
    return {
      ready: () => undefined,
      added: (key: PooledKey) => {
        const name = nameOf(route, key)
        this.#names.set(key, name)
        this.#names.set(key.quota, name)
        if (restored.has(key.quota)) return
        restored.add(key.quota)
        // The key is put in its place first: what is told of it then takes hold.
        queueMicrotask(() => this.#restore(pool, key, name))
      },
      removed(key: PooledKey) {
        if (key.quota.keys.size === 0) quotas.delete(key.quota)
      },
      taken: (quota: KeyQuota) => {
        quotas.add(quota)
        this.#changed()
      },
      waiting() {},
      tell: (key: PooledKey, news: News) => {
        const isOfKey = news.kind === 'rejected' || news.kind === 'disabled' || news.kind === 'enabled'
        const here = thisMoment(pool.clock)
        const kept = this.#keptOf(this.#names.get(key) ?? nameOf(route, key), here.wall)
        const part = isOfKey ? 'key' : `part ${news.part}`
        // In the order in which they were told.
        delete kept.news[part]
        kept.news[part] = atMoments(news, at => dateAt(here, at).getTime())
        forgetParts(kept)
        this.#changed()
      },
      cacheStore: () => undefined,
      close: async () => {
        for (const quota of quotas) this.#note(quota, thisMoment(pool.clock))
        this.#open.delete(entry)
        this.#changed()
      },
    }
  }

  #keptOf(name: string, now: number): Kept {
    this.#data[name] ??= { at: now, news: {}, used: {} }
    this.#data[name].at = now
    return this.#data[name]
  }

  #note(quota: KeyQuota, here: Moment): void {
    const { now } = here
    const name = this.#names.get(quota)
    if (name === undefined) return
    const kept = this.#keptOf(name, here.wall)
    kept.finding = quota.limiter.finding
    for (const meter of quota.limiter.declared) {
      const endsAt = endOf(meter, now)
      const until = endsAt && dateAt(here, endsAt).getTime()
      if (until !== undefined) kept.used[shapeOf(meter)] = { units: meter.inUse(now), until }
    }
  }

  #restore(pool: SharedPool, key: PooledKey, name: string): void {
    const kept = this.#data[name]
    if (!kept) return
    const here = thisMoment(pool.clock)
    const { now } = here
    for (const news of Object.values(kept.news))
      pool.hear(
        key,
        atMoments(news, at => momentOf(here, at)),
      )
    for (const meter of key.quota.limiter.declared) {
      const used = kept.used[shapeOf(meter)]
      if (!used || used.until <= here.wall || used.units <= 0) continue
      meter.confirm(0, now)
      meter.settle?.(0, used.units, now, now)
    }
    if (kept.finding) key.quota.limiter.adopt(kept.finding)
    pool.changed(key.quota)
  }
}

/** Callers make up names of models: of parts the last ones are kept. */
function forgetParts({ news }: Kept): void {
  const parts = Object.keys(news).filter(name => name !== 'key')
  for (const name of parts.slice(0, Math.max(0, parts.length - PARTS))) delete news[name]
}

function endOf(meter: SharedMeter, now: number): number | undefined {
  const { kind, per } = meter.shape
  if (kind === 'calendar') return meter.endsAt?.(now)
  return kind === 'window' && per !== undefined && per >= LONG ? now + per : undefined
}

function shapeOf({ shape, per }: SharedMeter): string {
  return `${shape.kind} ${shape.unit} ${per}`
}

function nameOf(route: string, { secret, quota }: PooledKey): string {
  const what = quota.group === undefined ? `key ${secret.reveal()}` : `group ${quota.group}`
  return createHash('sha256').update(`${route}\n${what}`).digest('base64url').slice(0, 22)
}
