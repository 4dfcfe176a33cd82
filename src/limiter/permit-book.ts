import Bottleneck from 'bottleneck/light.js'

/** Bottleneck's book of one limit: how much is left of the reservoir and how many jobs run. */
interface BottleneckStore {
  readonly storeOptions: { maxConcurrent: number | null; reservoir: number | null }
  _running: number
  _done: number
  _nextRequest: number
  check(weight: number, now: number): boolean
}
type StoreClass = new (
  limiter: Bottleneck,
  settings: Record<string, unknown>,
  instance: Record<string, unknown>,
) => BottleneckStore

/** What a book may hold; `null` is without bound. */
export interface BookSettings {
  readonly reservoir: number | null
  readonly maxConcurrent: number | null
}

/**
 * Permits, booked with Bottleneck and admitted at once.
 *
 * Bottleneck's own `schedule` awaits a timer in every submit, register and free: 5 ms for a job that need not wait.
 * Its local store answers the same question synchronously, so this asks the store and books on the store's own
 * fields, exactly as `LocalDatastore.__register__` and `__free__` do. All that leans on Bottleneck's inside (2.19.5,
 * pinned) is in this file, and `test/limiter/permit-book.test.ts` holds it against the stock `schedule`.
 */
export class PermitBook {
  readonly #store: BottleneckStore

  constructor(store: BottleneckStore) {
    this.#store = store
  }

  /** Books `weight` if it is there, and says whether it was. */
  admit(weight: number, now: number): boolean {
    const store = this.#store
    if (!store.check(weight, now)) return false
    store._running += weight
    if (store.storeOptions.reservoir !== null) store.storeOptions.reservoir -= weight
    return true
  }

  /** A job of `weight` has ended. */
  free(weight: number): void {
    this.#store._running -= weight
    this.#store._done += weight
  }

  get running(): number {
    return this.#store._running
  }

  get reservoir(): number {
    return this.#store.storeOptions.reservoir ?? Number.POSITIVE_INFINITY
  }

  set reservoir(value: number) {
    this.#store.storeOptions.reservoir = value
  }

  get maxConcurrent(): number {
    return this.#store.storeOptions.maxConcurrent ?? Number.POSITIVE_INFINITY
  }
}

/** Opens books. */
export type OpenBook = (settings: BookSettings) => PermitBook

/**
 * One Bottleneck for a whole pool lends its store to every book: a limiter of its own for each limit of each key would
 * take 4.9 KB instead of 0.5, and bring queues, locks and timers that nothing here uses.
 */
export function permitBooks(): OpenBook {
  const limiter = new Bottleneck({})
  const { storeDefaults, localStoreDefaults, _store } = limiter as unknown as {
    storeDefaults: Record<string, unknown>
    localStoreDefaults: Record<string, unknown>
    _store: BottleneckStore
  }
  const Store = _store.constructor as StoreClass
  return settings => {
    const store = new Store(limiter, { ...storeDefaults, ...settings }, { ...localStoreDefaults })
    // Nothing is admitted before this moment, by the system's clock; here only the injected one counts.
    store._nextRequest = 0
    return new PermitBook(store)
  }
}
