import type { CacheEntry, CacheRecord, CacheStore } from '../cache/cache-store.js'
import { readRecord, writeRecord } from '../node/record-text.js'
import type { RedisLink } from './link.js'
import type { Names } from './names.js'

/**
 * What another process has made out of date is not stored here for so long, in milliseconds: it may have been asked for
 * before, and have arrived only now.
 */
const SETTLING = 2_000
/** Longer is nothing kept in Redis, in milliseconds. */
const LONGEST = 30 * 86_400_000
/** So many responses that could not be dropped are remembered till Redis is back. */
const MOST_UNDROPPED = 10_000

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
    this.#dropped.delete(name)
    this.#dropped.set(name, this.#options.now())
    this.#memory?.delete(name)
  }

  /** Redis is there again: others may have made anything out of date meanwhile, and so may this process. */
  async missedNews(): Promise<void> {
    this.#drops++
    this.#memory = this.#createMemory?.()
    const names = [...this.#undropped]
    this.#undropped.clear()
    await Promise.all(names.map(name => this.#delete(name)))
  }

  #get(name: string): CacheRecord | undefined | Promise<CacheRecord | undefined> {
    const known = this.#memory!.get(name) as CacheRecord | undefined
    return known ?? (this.#options.isUp() ? this.#fromRedis(name) : undefined)
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
    const record = inTime(read as unknown as CacheRecord, at => link.toLocal(at))
    if (drops === this.#drops && ttl > 0) this.#memory!.set(name, record, ttl)
    return record
  }

  async #set(name: string, record: CacheRecord, ttl: number): Promise<void> {
    const { link, now, isUp } = this.#options
    this.#forget()
    if (this.#dropped.has(name)) return
    this.#memory!.set(name, record, ttl)
    if (!isUp()) return
    const bounded = Math.max(1, Math.ceil(Math.min(ttl, LONGEST)))
    const text = writeRecord(inTime(record, at => link.toRedis(at)))
    await link.client.set(name, `${link.toRedis(now() + bounded)} ${text}`, 'PX', bounded)
  }

  async #delete(name: string): Promise<void> {
    const { link, me, isUp } = this.#options
    this.#memory!.delete(name)
    if (!isUp()) {
      if (this.#undropped.size < MOST_UNDROPPED) this.#undropped.add(name)
      return
    }
    const told = JSON.stringify({ kind: 'drop', from: me, key: name })
    await Promise.all([link.client.del(name), link.client.publish(link.channel, told)])
  }

  #forget(): void {
    const before = this.#options.now() - SETTLING
    for (const [name, at] of this.#dropped) {
      if (at > before) return
      this.#dropped.delete(name)
    }
  }
}

/** The same, by another clock. */
function inTime(record: CacheRecord, convert: (at: number) => number): CacheRecord {
  return record.map((entry): CacheEntry => ({ ...entry, receivedAt: Math.max(0, convert(entry.receivedAt)) }))
}
