import type { CacheEntry, CacheRecord, CacheStore } from '../cache/cache-store.js'
import { readRecord, writeRecord } from '../node/record-text.js'
import type { RedisLink } from './link.js'
import type { Names } from './names.js'

/** For so long it is remembered what others have made out of date, in milliseconds: no answer takes longer. */
const SETTLING = 600_000
/** Within so long of each other, who comes later in Redis is not who came later in time, in milliseconds. */
const MOMENT = 2_000
/** So many things are remembered of each kind. */
const MOST = 10_000
/** Longer is nothing kept in Redis, in milliseconds. */
const LONGEST = 30 * 86_400_000

export interface SharedCacheOptions {
  readonly link: RedisLink
  readonly names: Names
  readonly me: string
  now(): number
  /** Whether Redis can be reached; else each has what it has in memory. */
  isUp(): boolean
}

/** Responses that all processes share: in Redis, and in the memory of those that have used them. */
export class SharedCache {
  readonly #options: SharedCacheOptions
  #memory: CacheStore | undefined
  #createMemory: (() => CacheStore) | undefined
  /** What others have made out of date, and when; the oldest first. */
  readonly #dropped = new Map<string, number>()
  /** How often others have dropped something: what is being read at that moment may be it. */
  #drops = 0
  /** Since when what was not there is being asked for, and when what was brought was stored. */
  readonly #askedAt = new Map<string, number>()
  readonly #storedAt = new Map<string, number>()
  /** What was made out of date here while Redis could not be told. */
  readonly #undropped = new Set<string>()

  constructor(options: SharedCacheOptions) {
    this.#options = options
  }

  store(createMemory: () => CacheStore): CacheStore {
    const { names } = this.#options
    this.#createMemory = createMemory
    this.#memory = createMemory()
    return {
      get: key => this.#get(names.response(key)),
      set: (key, record, ttl) => this.#set(names.response(key), record, ttl),
      delete: key => this.#delete(names.response(key)),
    }
  }

  /** Another process has made a response out of date. */
  dropped(name: string): void {
    this.#drops++
    this.#forget()
    const now = this.#options.now()
    remember(this.#dropped, name, now)
    this.#memory?.delete(name)
    // What was stored a moment ago may have come to Redis after it was dropped there.
    if (now - (this.#storedAt.get(name) ?? Number.NEGATIVE_INFINITY) < MOMENT && this.#options.isUp()) {
      this.#options.link.client.del(name).catch(() => this.#undropped.add(name))
    }
  }

  /** Redis is there again: others may have made anything out of date meanwhile, and so may this process. */
  async missedNews(): Promise<void> {
    this.#drops++
    this.#memory = this.#createMemory?.()
    await this.tellRest()
  }

  /** Tells what could not be told. */
  async tellRest(): Promise<void> {
    const names = [...this.#undropped]
    this.#undropped.clear()
    await Promise.all(names.map(name => this.#delete(name)))
  }

  #get(name: string): CacheRecord | undefined | Promise<CacheRecord | undefined> {
    const known = this.#memory!.get(name) as CacheRecord | undefined
    if (known) return known
    // Whatever is stored under this name next was asked for from now on.
    if (!this.#askedAt.has(name)) remember(this.#askedAt, name, this.#options.now())
    return this.#options.isUp() ? this.#fromRedis(name) : undefined
  }

  async #fromRedis(name: string): Promise<CacheRecord | undefined> {
    const { link, now } = this.#options
    const drops = this.#drops
    const text = await link.client.get(name)
    if (text === null) return undefined
    const space = text.indexOf(' ')
    const ttl = link.toLocal(Number(text.slice(0, space))) - now()
    const read = readRecord(text.slice(space + 1))
    // What is no record, the cache finds out, and deletes.
    if (!Array.isArray(read)) return read as CacheRecord
    this.#askedAt.delete(name)
    const record = inTime(read as unknown as CacheRecord, at => link.toLocal(at))
    if (drops === this.#drops && ttl > 0) this.#memory!.set(name, record, ttl)
    return record
  }

  async #set(name: string, record: CacheRecord, ttl: number): Promise<void> {
    const { link, now, isUp } = this.#options
    this.#forget()
    const askedAt = this.#askedAt.get(name) ?? now()
    this.#askedAt.delete(name)
    // Asked for before another process made it out of date.
    if (askedAt <= (this.#dropped.get(name) ?? Number.NEGATIVE_INFINITY)) return
    this.#memory!.set(name, record, ttl)
    remember(this.#storedAt, name, now())
    if (!isUp()) return
    const bounded = Math.max(1, Math.ceil(Math.min(ttl, LONGEST)))
    const text = writeRecord(inTime(record, at => link.toRedis(at)))
    await link.client.set(name, `${link.toRedis(now() + bounded)} ${text}`, 'PX', bounded)
  }

  async #delete(name: string): Promise<void> {
    const { link, me, isUp } = this.#options
    this.#memory!.delete(name)
    if (!isUp()) {
      if (this.#undropped.size < MOST) this.#undropped.add(name)
      return
    }
    const told = JSON.stringify({ kind: 'drop', from: me, key: name })
    try {
      await Promise.all([link.client.del(name), link.client.publish(link.channel, told)])
    } catch (error) {
      this.#undropped.add(name)
      throw error
    }
  }

  #forget(): void {
    const before = this.#options.now() - SETTLING
    for (const [name, at] of this.#dropped) {
      if (at > before) return
      this.#dropped.delete(name)
    }
  }
}

/** Puts a name at the end of what is remembered, and forgets the oldest where it is too much. */
function remember(times: Map<string, number>, name: string, at: number): void {
  times.delete(name)
  times.set(name, at)
  if (times.size > MOST) times.delete(times.keys().next().value!)
}

/** The same, by another clock. */
function inTime(record: CacheRecord, convert: (at: number) => number): CacheRecord {
  return record.map((entry): CacheEntry => ({ ...entry, receivedAt: Math.max(0, convert(entry.receivedAt)) }))
}
