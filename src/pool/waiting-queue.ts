import type { Demand } from './demand.js'
import { LinkedList, type ListItem } from './linked-list.js'
import { type HeapItem, MinHeap } from './min-heap.js'

/** A request in line. */
export class Waiter<Grant> implements HeapItem, ListItem<Waiter<Grant>> {
  readonly demand: Demand
  #resolve!: (grant: Grant | undefined) => void
  #reject!: (reason: unknown) => void
  #turnedAway: { readonly reason: unknown } | undefined
  heapIndex = -1
  list: LinkedList<Waiter<Grant>> | undefined
  before: Waiter<Grant> | undefined
  after: Waiter<Grant> | undefined

  constructor(demand: Demand) {
    this.demand = demand
  }

  /** Settles when it gets what it waits for, is asked to choose (`undefined`), or is turned away. */
  next(): Promise<Grant | undefined> {
    // It may have been asked and turned away in the same turn.
    if (this.#turnedAway) return Promise.reject(this.#turnedAway.reason)
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  grant(grant: Grant): void {
    this.#resolve(grant)
  }

  askToChoose(): void {
    this.#resolve(undefined)
  }

  turnAway(reason: unknown): void {
    this.#turnedAway = { reason }
    this.#reject(reason)
  }
}

/**
 * The one line of a whole pool: first come, first served within a rank; out at once when the caller aborts.
 *
 * Requests that share a signal share one listener on it: a listener each would take quadratic time to take away again,
 * and make the runtime warn of a leak.
 */
export class WaitingQueue<Grant> {
  readonly #ranks = [
    new LinkedList<Waiter<Grant>>(),
    new LinkedList<Waiter<Grant>>(),
    new LinkedList<Waiter<Grant>>(),
  ] as const
  readonly #deadlines = new MinHeap<Waiter<Grant>>((a, b) => a.demand.deadline < b.demand.deadline)
  /** How many of each group are in line. */
  readonly #groups = new Map<string, number>()
  readonly #signals = new Map<AbortSignal, { waiters: Set<Waiter<Grant>>; listener: () => void }>()
  readonly #onLeave: () => void

  /** @param onLeave - called when a request has left without a key */
  constructor(onLeave: () => void) {
    this.#onLeave = onLeave
  }

  get size(): number {
    return this.#deadlines.size
  }

  /** When the first request in line gives up. */
  get nextDeadline(): number | undefined {
    return this.#deadlines.first?.demand.deadline
  }

  get first(): Waiter<Grant> | undefined {
    return this.#ranks.find(list => list.size > 0)?.first as Waiter<Grant> | undefined
  }

  /** How many stand before a request of this rank. */
  ahead(rank: 0 | 1 | 2): number {
    return this.#ranks.reduce((sum, list, index) => sum + (index <= rank ? list.size : 0), 0)
  }

  /** What those ask that stand before a request of this rank. */
  *demandsAhead(rank: 0 | 1 | 2): Generator<Demand> {
    for (const [index, list] of this.#ranks.entries()) {
      if (index > rank) return
      for (let waiter = list.first as Waiter<Grant> | undefined; waiter; waiter = waiter.after) yield waiter.demand
    }
  }

  /** Whether a request of this rank would have to stand behind another. */
  isAhead(rank: 0 | 1 | 2): boolean {
    return this.#ranks.some((list, index) => index <= rank && list.size > 0)
  }

  /** The number of different groups in line. */
  get groups(): number {
    return this.#groups.size
  }

  join(waiter: Waiter<Grant>): void {
    const { group } = waiter.demand
    this.#groups.set(group, (this.#groups.get(group) ?? 0) + 1)
    this.#ranks[waiter.demand.rank].append(waiter)
    this.#deadlines.push(waiter)
    const { signal } = waiter.demand
    if (signal) this.#listen(signal, waiter)
  }

  /** In the order in which they are to be served; a request may leave while it is looked at. */
  *inOrder(): Generator<Waiter<Grant>> {
    for (const list of this.#ranks) {
      let waiter = list.first as Waiter<Grant> | undefined
      while (waiter) {
        const { after } = waiter
        yield waiter
        waiter = after
      }
    }
  }

  leave(waiter: Waiter<Grant>): void {
    this.#takeOut(waiter)
    const { signal } = waiter.demand
    if (signal) this.#unlisten(signal, waiter)
  }

  /** Takes out those whose deadline has come, or would come before `until`. */
  takeOverdue(until: number): Waiter<Grant>[] {
    const overdue: Waiter<Grant>[] = []
    for (let first = this.#deadlines.first; first && first.demand.deadline <= until; first = this.#deadlines.first) {
      this.leave(first)
      overdue.push(first)
    }
    return overdue
  }

  #takeOut(waiter: Waiter<Grant>): void {
    waiter.list!.remove(waiter)
    this.#deadlines.remove(waiter)
    const { group } = waiter.demand
    const left = this.#groups.get(group)! - 1
    if (left === 0) this.#groups.delete(group)
    else this.#groups.set(group, left)
  }

  #listen(signal: AbortSignal, waiter: Waiter<Grant>): void {
    const known = this.#signals.get(signal)
    if (known) {
      known.waiters.add(waiter)
      return
    }
    const waiters = new Set([waiter])
    const listener = () => {
      // The signal has done its work: forget it whole, rather than once for each that leaves.
      this.#signals.delete(signal)
      for (const each of waiters) {
        this.#takeOut(each)
        each.turnAway(signal.reason)
      }
      this.#onLeave()
    }
    signal.addEventListener('abort', listener, { once: true })
    this.#signals.set(signal, { waiters, listener })
  }

  #unlisten(signal: AbortSignal, waiter: Waiter<Grant>): void {
    const known = this.#signals.get(signal)
    if (!known) return
    known.waiters.delete(waiter)
    if (known.waiters.size > 0) return
    this.#signals.delete(signal)
    signal.removeEventListener('abort', known.listener)
  }
}
