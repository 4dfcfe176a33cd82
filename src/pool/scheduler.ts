import type { Clock } from '../clock.js'
import type { Demand } from './demand.js'
import type { Keyring, Wake } from './keyring.js'
import { Lease, type LeaseHost, type Probe } from './lease.js'
import type { PooledKey } from './pooled-key.js'
import { Waiter, WaitingQueue } from './waiting-queue.js'

/**
 * How many requests are let go in one turn of the event loop. The work of sending them would come before the first of
 * them is written, and each window would lose that time again and again.
 */
const BATCH = 16

/**
 * What a request is turned away with that found no key: its deadline has passed, or nothing can come before it. It is no
 * error yet: the request itself makes one of it, in its caller's own context, and it can't be taken for that of another
 * pool inside this one.
 */
export class NoKeyInTime {
  readonly demand: Demand

  constructor(demand: Demand) {
    this.demand = demand
  }
}

export interface SchedulerHost {
  readonly clock: Clock
  /** A permit was taken from the key. */
  taken(key: PooledKey): void
  /** A request has joined the line. */
  lengthened?(): void
  /** The line has grown shorter. */
  shortened?(): void
}

/**
 * Matches requests with keys: at once when a key is free, else in the order of the line, when one comes free.
 *
 * One timer for the whole pool, and none while nobody waits.
 */
export class Scheduler {
  readonly #keyring: Keyring
  readonly #host: SchedulerHost
  readonly #queue = new WaitingQueue<Lease>(() => this.#left())
  readonly #lender: LeaseHost = { giveBack: lease => this.#giveBack(lease), pause: () => this.#pause() }
  #timer: { readonly at: number; readonly cancel: () => void } | undefined
  #closed: (() => Error) | undefined
  /** The request that is choosing its key: nobody is served before it has. */
  #choosing: Waiter<Lease> | undefined
  #serving = false
  /** Whether nobody in line is served before the next turn of the event loop. */
  #isPaused = false
  #again = false
  /** Whether the last turn let go as many as it may: there may be more to let go in the next. */
  #full = false

  constructor(keyring: Keyring, host: SchedulerHost) {
    this.#keyring = keyring
    this.#host = host
  }

  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  /** How many stand before a request of this rank. */
  ahead(rank: 0 | 1 | 2): number {
    return this.#queue.ahead(rank)
  }

  /** What those ask that stand before a request of this rank. */
  demandsAhead(rank: 0 | 1 | 2): Iterable<Demand> {
    return this.#queue.demandsAhead(rank)
  }

  get waiting(): number {
    return this.#queue.size
  }

  /** What the first in line asks. */
  get firstInLine(): Demand | undefined {
    return this.#queue.first?.demand
  }

  /**
   * A key for a request: at once if one is free, else a promise.
   *
   * @throws the signal's reason when it aborts, or `NoKeyInTime`.
   */
  acquire(demand: Demand): Lease | Promise<Lease> {
    demand.signal?.throwIfAborted()
    if (this.#closed) throw this.#closed()
    if (!this.#queue.isAhead(demand.rank)) {
      const lease = this.#lend(demand)
      if (lease) return lease
    }
    if (demand.accepts && !this.#keyring.mayServe(demand)) throw new NoKeyInTime(demand)
    return this.#wait(new Waiter(demand))
  }

  async #wait(waiter: Waiter<Lease>): Promise<Lease> {
    let next = waiter.next()
    this.#queue.join(waiter)
    this.serve()
    if (this.#queue.size > 0) this.#host.lengthened?.()
    for (;;) {
      const lease = (await next) ?? this.#choose(waiter)
      if (lease) return lease
      next = waiter.next()
      this.serve()
    }
  }

  /** Lets a request choose its key by the program's own strategy, which is to run in the context of the call it is for. */
  #choose(waiter: Waiter<Lease>): Lease | undefined {
    // It may have been turned away between being asked to choose and choosing.
    if (this.#choosing !== waiter) return undefined
    this.#choosing = undefined
    try {
      const lease = this.#lend(waiter.demand)
      if (lease) this.#queue.leave(waiter)
      return lease
    } catch (error) {
      // The strategy has failed: the request's own error, and nobody else's.
      this.#queue.leave(waiter)
      throw error
    } finally {
      this.serve()
    }
  }

  /** Serves whom it can; call it when a key may have become usable, or none can become so any more. */
  serve(): void {
    // Lending and rejecting run the program's own code in between (strategies, listeners), which may come back here.
    this.#again = true
    if (this.#serving || this.#choosing || this.#isPaused) return
    if (this.#queue.size === 0) {
      this.#disarm()
      return
    }
    this.#serving = true
    try {
      let left = BATCH
      while (this.#again && left > 0) {
        this.#again = false
        this.#keyring.clearWakes()
        left -= this.#serveInOrder(left)
        this.#dropHopeless()
      }
      this.#full = left <= 0
    } finally {
      this.#serving = false
    }
    this.#arm()
    this.#host.shortened?.()
  }

  /** Sends everyone in line away, and whoever comes later. */
  close(error: () => Error): void {
    this.#closed = error
    for (const waiter of [...this.#queue.inOrder()]) {
      this.#queue.leave(waiter)
      waiter.turnAway(error())
    }
    this.#choosing = undefined
    this.#disarm()
  }

  /** Serves up to `most`, and says how many. */
  #serveInOrder(most: number): number {
    let served = 0
    /** The groups for which there is no key: the rest of them need not look. Till when, as far as it is known. */
    const without = new Map<string, Wake | undefined>()
    for (const waiter of this.#queue.inOrder()) {
      if (without.has(waiter.demand.group)) {
        this.#dropIfHopeless(waiter, without.get(waiter.demand.group))
        continue
      }
      if (this.#keyring.isChosenByProgram && this.#keyring.peekAny(waiter.demand, this.#host.clock.now())) {
        this.#choosing = waiter
        waiter.askToChoose()
        return served
      }
      const lease = this.#lend(waiter.demand)
      if (lease) {
        this.#queue.leave(waiter)
        waiter.grant(lease)
        if (++served === most) return served
      } else {
        const { group, accepts, part, resources } = waiter.demand
        const wake = this.#keyring.wakeOf(group)
        without.set(group, wake)
        if (this.#dropIfHopeless(waiter, wake)) continue
        // No key for a request that takes any: none for those behind it. Nor for anyone when no group is left.
        if (!accepts && part === '' && resources.length === 0) return served
        // They need not even be looked through for those who wait in vain.
        const soonest = this.#queue.nextDeadline ?? 0
        if (without.size >= this.#queue.groups && [...without.values()].every(wake => (wake?.at ?? 0) <= soonest))
          return served
      }
    }
    return served
  }

  /** Sends away who would have given up before there is anything for them. */
  #dropIfHopeless(waiter: Waiter<Lease>, wake: Wake | undefined): boolean {
    if (!wake || wake.mayComeEarlier || wake.at === Number.POSITIVE_INFINITY || waiter.demand.deadline >= wake.at)
      return false
    this.#queue.leave(waiter)
    waiter.turnAway(new NoKeyInTime(waiter.demand))
    return true
  }

  #dropHopeless(): void {
    if (this.#queue.size === 0) return
    const now = this.#host.clock.now()
    const hope = this.#keyring.hope(now)
    const until = hope.kind === 'none' ? Number.POSITIVE_INFINITY : hope.kind === 'at' ? hope.at - 1 : now
    for (const waiter of this.#queue.takeOverdue(Math.max(until, now))) {
      waiter.turnAway(new NoKeyInTime(waiter.demand))
      if (waiter !== this.#choosing) continue
      // It was asked to choose and is too late: those behind it have not been looked at.
      this.#choosing = undefined
      this.#again = true
    }
  }

  #lend(demand: Demand): Lease | undefined {
    const now = this.#host.clock.now()
    const key = this.#keyring.next(demand, now)
    if (!key) return undefined
    const { quota } = key
    const permit = quota.limiter.tryAcquire(demand.weigh, now)!
    const probe: Probe = key.standing.state === 'rejected' ? 'key' : quota.isProbed ? 'quota' : 'none'
    const lane = quota.part(demand.part)
    const part = lane && {
      ...{ name: demand.part, lane, isProbe: lane.isProbed },
      permit: lane.limiter.tryAcquire(demand.weigh, now)!,
    }
    const rested = now - (lane ?? quota).takenAt
    quota.takenAt = now
    if (lane) {
      lane.takenAt = now
      lane.inFlight++
    }
    key.inFlight++
    if (probe === 'key') key.probing = true
    if (probe === 'quota') quota.probe(now)
    const triesEndpoint = key.endpoint?.taken() ? key.endpoint : undefined
    if (part?.isProbe) lane!.probe(now)
    if (triesEndpoint) this.#keyring.settleEndpoint(triesEndpoint)
    this.#settle(key)
    this.#host.taken(key)
    return new Lease({ key, probe, part, takenAt: now, rested, triesEndpoint }, demand, permit, this.#lender)
  }

  #giveBack({ key, probe, part, triesEndpoint, hasOutcome }: Lease): void {
    key.inFlight--
    if (triesEndpoint) {
      triesEndpoint.tried()
      this.#keyring.settleEndpoint(triesEndpoint)
    }
    // A probe that ended without a verdict (an abort, an overload) lets the next one try.
    if (probe === 'key') key.probing = false
    if (probe === 'quota') key.quota.probed(hasOutcome)
    if (part) part.lane.inFlight--
    if (part?.isProbe) part.lane.probed(hasOutcome)
    this.#settle(key)
    this.serve()
  }

  #pause(): void {
    if (this.#isPaused) return
    this.#isPaused = true
    this.#host.clock.schedule(() => {
      this.#isPaused = false
      this.serve()
    }, 0)
  }

  #settle(key: PooledKey): void {
    if (key.quota.keys.size > 1) this.#keyring.settleQuota(key.quota)
    else this.#keyring.settle(key)
  }

  #left(): void {
    if (this.#choosing && !this.#choosing.list) this.#choosing = undefined
    this.#keyring.undefer()
    if (this.#queue.size === 0) this.#disarm()
    else this.serve()
    this.#host.shortened?.()
  }

  #arm(): void {
    const deadline = this.#queue.nextDeadline
    if (deadline === undefined) {
      this.#disarm()
      return
    }
    const now = this.#host.clock.now()
    const at = this.#full ? now : Math.min(deadline, this.#keyring.nextAt() ?? Number.POSITIVE_INFINITY)
    if (this.#timer?.at === at) return
    this.#disarm()
    if (at === Number.POSITIVE_INFINITY) return
    const cancel = this.#host.clock.schedule(
      () => {
        this.#timer = undefined
        this.serve()
      },
      Math.max(0, at - now),
    )
    this.#timer = { at, cancel }
  }

  #disarm(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }
}
