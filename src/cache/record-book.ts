import type { Clock } from '../clock.js'
import { isThenable } from '../platform.js'
import type { CacheEntry, CacheRecord, CacheStore } from './cache-store.js'
import { readCacheRecord } from './check-record.js'
import { usefulFor } from './freshness.js'

/** How long a store may take to answer, in milliseconds. */
const PATIENCE = 1_000
/** How many variants of one URL are kept. */
const VARIANTS = 16

export interface RecordBookOptions {
  readonly store: CacheStore
  readonly clock: Clock
  /** The store has failed; the request goes on without it. */
  storeFailed(error: unknown): void
}

/** Which entry takes the place of which. */
export interface PutOptions {
  /** Asked before it is put, and again when what is there was read. */
  isOutdated?(): boolean
  /** The entry that it was made of. */
  readonly replaces?: CacheEntry | undefined
}

/** Reads and changes records in a store that may be slow, fail, or give back what it was never given. */
export class RecordBook {
  readonly #options: RecordBookOptions
  /** The changes to each key that are being made. */
  readonly #changes = new Map<string, Promise<void>>()
  /** What is being taken out, and how often: gone already for whoever asks, however long the store takes. */
  readonly #removing = new Map<string, number>()

  constructor(options: RecordBookOptions) {
    this.#options = options
  }

  /** @throws never: a store that fails, hangs or gives nonsense is a miss */
  async find(key: string): Promise<CacheRecord | undefined> {
    if (this.#removing.has(key)) return undefined
    // What is being stored will be there in a moment: asking the server again would take longer.
    const change = this.#changes.get(key)
    if (change) await this.#withinPatience(change).catch(error => this.#options.storeFailed(error))
    return this.#removing.has(key) ? undefined : this.read(key)
  }

  /** Takes a record out, after whatever is being stored under the same key. */
  remove(key: string): void {
    const { store, storeFailed } = this.#options
    if (!this.#changes.has(key)) {
      // What a store in memory does at once needs no turn.
      try {
        const done = store.delete(key)
        if (!isThenable(done)) return
        this.#removeBy(key, () => done)
      } catch (error) {
        storeFailed(error)
      }
      return
    }
    this.#removeBy(key, () => store.delete(key))
  }

  #removeBy(key: string, remove: () => unknown): void {
    this.#removing.set(key, (this.#removing.get(key) ?? 0) + 1)
    this.change(key, remove, () => {
      const left = this.#removing.get(key)! - 1
      if (left > 0) this.#removing.set(key, left)
      else this.#removing.delete(key)
    })
  }

  /** The same in the middle of a change, which must not wait for itself. */
  async read(key: string): Promise<CacheRecord | undefined> {
    try {
      const answer = this.#options.store.get(key)
      const record = isThenable(answer) ? await this.#withinPatience(Promise.resolve(answer)) : answer
      if (record === undefined || record === null) return undefined
      const read = readCacheRecord(record)
      if (read) return read
      this.remove(key)
      throw new TypeError('The store gave back something else than it was given.')
    } catch (error) {
      this.#options.storeFailed(error)
      return undefined
    }
  }

  async #withinPatience<Value>(answer: Promise<Value>): Promise<Value> {
    let cancel!: () => void
    const late = new Promise<never>((_, reject) => {
      cancel = this.#options.clock.schedule(() => reject(new Error('The store did not answer.')), PATIENCE)
    })
    return Promise.race([answer, late]).finally(cancel)
  }

  /** Puts an entry in the place of the one of its kind. */
  async put(key: string, entry: CacheEntry, options: PutOptions = {}): Promise<void> {
    const { isOutdated = () => false, replaces = entry } = options
    if (isOutdated()) return
    const known = (await this.read(key)) ?? []
    const others = known.filter(each => !isSameVariant(each, entry) && !isSameVariant(each, replaces))
    const record = [entry, ...others].slice(0, VARIANTS)
    const now = this.#options.clock.wallNow()
    const ttl = Math.max(...record.map(each => usefulFor(each, now)))
    if (ttl > 0 && !isOutdated()) await this.#options.store.set(key, record, ttl)
  }

  /** Changes to one key are made one after the other, or the second would undo the first; nobody waits for them. */
  change(key: string, change: () => unknown, then?: () => void): void {
    const before = this.#changes.get(key) ?? Promise.resolve()
    const done = before
      .then(change)
      .then(
        () => undefined,
        error => this.#options.storeFailed(error),
      )
      .then(then)
    this.#changes.set(key, done)
    void this.#withinPatience(done)
      .catch(error => this.#options.storeFailed(error))
      .finally(() => {
        if (this.#changes.get(key) === done) this.#changes.delete(key)
      })
  }
}

function isSameVariant(a: CacheEntry, b: CacheEntry): boolean {
  return a.variant === b.variant && a.vary.join() === b.vary.join()
}
