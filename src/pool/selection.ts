import { describe } from '../describe.js'
import { InvalidOptionError } from '../errors.js'
import type { KeySnapshot } from '../key-snapshot.js'
import type { Strategy, StrategyName } from '../options.js'
import type { Demand } from './demand.js'
import { LinkedList } from './linked-list.js'
import { MinHeap } from './min-heap.js'
import type { PooledKey } from './pooled-key.js'

/**
 * The ready keys of one priority, in the order in which a strategy would take them.
 *
 * Choosing the next and keeping the order cost O(1) or O(log n); only a predicate that turns keys down, or a strategy
 * of the user's own, looks at more than one.
 */
export interface Selection {
  readonly size: number
  add(key: PooledKey): void
  remove(key: PooledKey): void
  /** The key that the strategy takes next, of those that `accepts` lets pass. */
  next(demand: Demand): PooledKey | undefined
  /** It was taken. */
  taken(key: PooledKey): void
  /** Its requests in flight have changed. */
  loadChanged(key: PooledKey): void
}

export function createSelection(
  strategy: StrategyName | Strategy,
  snapshot: (key: PooledKey) => KeySnapshot,
): Selection {
  if (typeof strategy === 'function') return new OwnSelection(strategy, snapshot)
  switch (strategy) {
    case 'least-loaded':
      return new LeastLoaded()
    case 'round-robin':
      return new RoundRobin()
    case 'weighted':
      return new Weighted()
    case 'fill-first':
      return new FillFirst()
    case 'random':
      return new RandomChoice()
  }
}

/** Fewest requests in flight; among equals, the one that has been idle for longest. */
class LeastLoaded implements Selection {
  /** The keys by their number of requests in flight. */
  readonly #levels: LinkedList<PooledKey>[] = []
  #lowest = 0
  size = 0

  add(key: PooledKey): void {
    for (let level = this.#levels.length; level <= key.inFlight; level++) this.#levels.push(new LinkedList())
    this.#levels[key.inFlight]!.append(key)
    this.#lowest = this.size++ === 0 ? key.inFlight : Math.min(this.#lowest, key.inFlight)
  }

  remove(key: PooledKey): void {
    key.list!.remove(key)
    this.size--
  }

  next({ accepts }: Demand): PooledKey | undefined {
    if (this.size === 0) return undefined
    while (this.#levels[this.#lowest]!.size === 0) this.#lowest++
    if (!accepts) return this.#levels[this.#lowest]!.first
    for (let level = this.#lowest; level < this.#levels.length; level++) {
      const key = firstOf(this.#levels[level]!, accepts)
      if (key) return key
    }
    return undefined
  }

  taken(): void {}

  loadChanged(key: PooledKey): void {
    this.remove(key)
    this.add(key)
  }
}

/** Each in its turn. */
class RoundRobin implements Selection {
  readonly #keys = new LinkedList<PooledKey>()

  get size(): number {
    return this.#keys.size
  }

  add(key: PooledKey): void {
    this.#keys.append(key)
  }

  remove(key: PooledKey): void {
    this.#keys.remove(key)
  }

  next({ accepts }: Demand): PooledKey | undefined {
    return accepts ? firstOf(this.#keys, accepts) : this.#keys.first
  }

  taken(key: PooledKey): void {
    this.remove(key)
    this.add(key)
  }

  loadChanged(): void {}
}

/** What the two strategies with an order of their own have in common. */
abstract class Ranked implements Selection {
  protected readonly keys: MinHeap<PooledKey>
  readonly #before: (a: PooledKey, b: PooledKey) => boolean

  constructor(before: (a: PooledKey, b: PooledKey) => boolean) {
    this.#before = before
    this.keys = new MinHeap(before)
  }

  get size(): number {
    return this.keys.size
  }

  add(key: PooledKey): void {
    this.keys.push(key)
  }

  remove(key: PooledKey): void {
    this.keys.remove(key)
  }

  next({ accepts }: Demand): PooledKey | undefined {
    if (!accepts) return this.keys.first
    let best: PooledKey | undefined
    for (const key of this.keys.values()) {
      if (accepts(key) && (!best || this.#before(key, best))) best = key
    }
    return best
  }

  abstract taken(key: PooledKey): void

  loadChanged(): void {}
}

/** Shares by weight, evenly spread: each key moves on by 1/weight when it serves, and the one furthest behind is next (stride scheduling). */
class Weighted extends Ranked {
  #now = 0

  constructor() {
    super((a, b) => a.pass < b.pass || (a.pass === b.pass && a.order < b.order))
  }

  override add(key: PooledKey): void {
    // A key that was away does not catch up on what it missed.
    key.pass = Math.max(key.pass, this.#now)
    super.add(key)
  }

  taken(key: PooledKey): void {
    this.#now = key.pass
    key.pass += 1 / key.weight
    this.keys.moved(key)
  }
}

/** The first key for as long as it lasts, then the next. */
class FillFirst extends Ranked {
  constructor() {
    super((a, b) => a.order < b.order)
  }

  taken(): void {}
}

/** Any of them. */
class RandomChoice implements Selection {
  readonly #keys: PooledKey[] = []

  get size(): number {
    return this.#keys.length
  }

  add(key: PooledKey): void {
    key.heapIndex = this.#keys.push(key) - 1
  }

  remove(key: PooledKey): void {
    const last = this.#keys.pop()!
    if (last !== key) {
      this.#keys[key.heapIndex] = last
      last.heapIndex = key.heapIndex
    }
    key.heapIndex = -1
  }

  next({ accepts }: Demand): PooledKey | undefined {
    const keys = accepts ? this.#keys.filter(accepts) : this.#keys
    return keys[Math.floor(Math.random() * keys.length)]
  }

  taken(): void {}
  loadChanged(): void {}
}

/** The user's own choice, among snapshots of all ready keys. */
class OwnSelection implements Selection {
  readonly #keys = new Map<string, PooledKey>()
  readonly #strategy: Strategy
  readonly #snapshot: (key: PooledKey) => KeySnapshot

  constructor(strategy: Strategy, snapshot: (key: PooledKey) => KeySnapshot) {
    this.#strategy = strategy
    this.#snapshot = snapshot
  }

  get size(): number {
    return this.#keys.size
  }

  add(key: PooledKey): void {
    this.#keys.set(key.id, key)
  }

  remove(key: PooledKey): void {
    this.#keys.delete(key.id)
  }

  next({ accepts, summary }: Demand): PooledKey | undefined {
    const usable = [...this.#keys.values()].filter(key => !accepts || accepts(key))
    if (usable.length === 0) return undefined
    const id = this.#strategy(usable.map(this.#snapshot), summary())
    const chosen = usable.find(key => key.id === id)
    if (!chosen) {
      throw new InvalidOptionError(
        'strategy',
        'a function that gives the id of one of the keys it was offered',
        describe(id),
      )
    }
    return chosen
  }

  taken(): void {}
  loadChanged(): void {}
}

function firstOf(keys: LinkedList<PooledKey>, accepts: (key: PooledKey) => boolean): PooledKey | undefined {
  for (let key = keys.first as PooledKey | undefined; key; key = key.after) if (accepts(key)) return key
  return undefined
}
