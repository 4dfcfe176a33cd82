import type { Moment } from '../clock.js'
import type { Weigh } from '../limiter/limiter.js'
import type { Strategy, StrategyName } from '../options.js'
import type { Demand } from './demand.js'
import type { Endpoint } from './endpoint.js'
import type { Admission, Closed } from './gates.js'
import { MinHeap } from './min-heap.js'
import type { KeyQuota, Place, PooledKey } from './pooled-key.js'
import { createSelection, type Selection } from './selection.js'
import { snapshotOf } from './snapshot.js'

/** A request of the least weight: what a key must let pass to be called ready. */
const LEAST: Weigh = () => 1

export interface KeyringHost {
  now(): number
  moment(): Moment
  /** `undefined`: by the keys, `'weighted'` from the first one on that has a weight. */
  readonly strategy: StrategyName | Strategy | undefined
  /** A key's `expiresAt` has passed. */
  expired(key: PooledKey): void
  /** Until when nothing goes out that belongs to these resources, with whatever key. */
  closed(resources: readonly string[], now: number, hasFreshKey: () => boolean): Closed | undefined
  /** Whether a request that belongs to them may go in spite of that. */
  admit(resources: readonly string[], now: number, hasFreshKey: () => boolean): Admission
  /** A request goes that was admitted. */
  goes(resources: readonly string[], now: number, admission: Admission): void
}

/** From when a key may be used for a request: by its quota, and by its endpoint. */
function availableAt({ quota, endpoint }: PooledKey, weigh: Weigh, now: number): number {
  const at = quota.availableAt(weigh, now)
  return endpoint ? Math.max(at, endpoint.availableAt(now)) : at
}

/** A second try is better made with another key, at another endpoint. */
function without(avoided: PooledKey, demand: Demand): Demand {
  const { accepts } = demand
  const isOther = (key: PooledKey) => key !== avoided && (!key.endpoint || key.endpoint !== avoided.endpoint)
  return { ...demand, accepts: key => isOther(key) && (!accepts || accepts(key)) }
}

/** Whether a key has not been refused since it last passed. */
function isFresh({ quota }: PooledKey, part: string): boolean {
  return quota.refusals === 0 && (quota.parts.get(part)?.refusals ?? 0) === 0
}

function onlyFresh(demand: Demand): Demand {
  const { accepts, part } = demand
  return { ...demand, prefers: undefined, accepts: key => isFresh(key, part) && (!accepts || accepts(key)) }
}

/** When those that wait for a part of the quotas are to look again. */
export interface Wake {
  /** `Infinity`: no time is known. */
  readonly at: number
  /** Whether a running request may make room before that, so that nobody need give up. */
  readonly mayComeEarlier: boolean
}

/** A system clock that differs by more than before was set, in milliseconds. */
const CLOCK_CHANGE_MS = 1_000

/** When a key may become usable: now, at a moment, at the end of a running request, or never by itself. */
export type Hope = { readonly kind: 'now' | 'held' | 'none' } | { readonly kind: 'at'; readonly at: number }

/**
 * The keys, each where it can be found without a search: ready, in the order of the strategy; to be looked at again at
 * a time; held until a running request ends; or out.
 *
 * No key has a timer of its own: what has become due is found when a request asks.
 */
export class Keyring {
  readonly #host: KeyringHost
  readonly #keys = new Map<string, PooledKey>()
  /** Ready keys by priority, the highest first. */
  #tiers: { readonly priority: number; readonly selection: Selection }[] = []
  #strategy: StrategyName | Strategy
  readonly #timed = new MinHeap<PooledKey>((a, b) => a.readyAt < b.readyAt)
  /** Keys that the server refused as invalid, by when to try them again. */
  readonly #probes = new MinHeap<PooledKey>((a, b) => a.readyAt < b.readyAt)
  /** Keys that a heavy request found ready, but not for its weight. */
  readonly #deferred = new Set<PooledKey>()
  /** The weight of the heaviest of those requests. */
  #deferredFor = 0
  #held = 0
  /** Timed keys whose quota is being tried: they may come back before their time. */
  #tried = 0
  /** How far the system's clock is ahead of the one for spans. */
  #wallOffset = 0
  /** When those that wait are to look again, by what tells which keys may serve them. */
  readonly #wakes = new Map<string, Wake>()

  constructor(host: KeyringHost) {
    this.#host = host
    this.#strategy = host.strategy ?? 'least-loaded'
  }

  get(id: string): PooledKey | undefined {
    return this.#keys.get(id)
  }

  get size(): number {
    return this.#keys.size
  }

  /** Whether the program's own function chooses among the keys. */
  get isChosenByProgram(): boolean {
    return typeof this.#strategy === 'function'
  }

  values(): IterableIterator<PooledKey> {
    return this.#keys.values()
  }

  add(key: PooledKey): void {
    this.#keys.set(key.id, key)
    this.#openTier(key.priority)
    key.quota.keys.add(key)
    this.settle(key)
  }

  /** Some key has a weight: where no strategy was named, the keys are used by their weights from now on. */
  useWeights(): void {
    if (this.#host.strategy !== undefined || this.#strategy === 'weighted') return
    this.#strategy = 'weighted'
    for (const key of this.#keys.values()) this.#take(key)
    this.#tiers = []
    for (const key of this.#keys.values()) this.#openTier(key.priority)
    for (const key of this.#keys.values()) this.settle(key)
  }

  #openTier(priority: number): void {
    if (this.#tiers.some(tier => tier.priority === priority)) return
    const selection = createSelection(this.#strategy, each => snapshotOf(each, this.#host.moment()))
    this.#tiers = [...this.#tiers, { priority, selection }].sort((a, b) => b.priority - a.priority)
  }

  /** Changes what is known about a key, and puts it where it then belongs. */
  update(key: PooledKey, change: () => void): void {
    this.#take(key)
    key.quota.keys.delete(key)
    change()
    this.add(key)
  }

  remove(key: PooledKey): void {
    this.#keys.delete(key.id)
    key.quota.keys.delete(key)
    key.standing = { state: 'removed' }
    this.settle(key)
  }

  /** Puts the keys of an endpoint where they now belong. */
  settleEndpoint(endpoint: Endpoint): void {
    for (const key of this.#keys.values()) if (key.endpoint === endpoint) this.settle(key)
  }

  /** Puts a quota's keys where they now belong. */
  settleQuota(quota: KeyQuota): void {
    for (const key of quota.keys) this.settle(key)
  }

  /** Puts a key where it now belongs: call it after any change to the key or its quota. */
  settle(key: PooledKey, weigh: Weigh = LEAST, now = this.#host.now()): void {
    const place = this.#placeFor(key, weigh, now)
    if (place === 'ready' && key.place === 'ready') {
      this.#selection(key).loadChanged(key)
      return
    }
    this.#take(key)
    this.#put(key, place)
  }

  /** The key that serves a request at `now`; it is taken the moment it is returned, and must be settled then. */
  next(demand: Demand, now: number): PooledKey | undefined {
    this.#lookAtDue(now)
    const admission = this.#host.admit(demand.resources, now, () => this.#hasFreshKey(demand.part))
    if (admission.kind === 'wait') {
      this.#wakes.set(demand.group, { at: admission.until, mayComeEarlier: admission.mayOpenEarlier })
      return undefined
    }
    const asked = admission.kind === 'fresh' ? onlyFresh(demand) : demand
    const avoided = asked.avoids === undefined ? undefined : this.#keys.get(asked.avoids)
    const key = (avoided && this.#find(without(avoided, asked), now)) ?? this.#find(asked, now)
    if (key) this.#host.goes(demand.resources, now, admission)
    if (!key && demand.part !== '') this.#wakes.set(demand.group, this.#partOpensAt(demand, now))
    return key
  }

  /** The key that a request would get at `now`, which is not taken. */
  peek(asked: Demand, now: number): PooledKey | undefined {
    this.#lookAtDue(now)
    const preferred = asked.prefers === undefined ? undefined : this.#keys.get(asked.prefers)
    const isUsable = (key: PooledKey) => this.#isUsable(key, asked, now)
    if (preferred && isUsable(preferred)) return preferred
    for (const { selection } of this.#tiers) {
      const key = selection.next({ ...asked, accepts: isUsable })
      if (key) return key
    }
    return undefined
  }

  /** Whether some key could serve a request at `now`, whichever it would be. */
  peekAny(asked: Demand, now: number): boolean {
    if (this.#host.closed(asked.resources, now, () => this.#hasFreshKey(asked.part))) return false
    this.#lookAtDue(now)
    for (const key of this.#keys.values()) if (this.#isUsable(key, asked, now)) return true
    return false
  }

  #isUsable(key: PooledKey, asked: Demand, now: number): boolean {
    return (
      key.place === 'ready' &&
      !this.#hasExpired(key) &&
      this.#isOpenTo(key, asked, now) &&
      (asked.part === '' || this.#accepts(asked, key, now))
    )
  }

  /** Forgets when those that wait for a part of the keys' quotas are to look again: they are about to. */
  clearWakes(): void {
    this.#wakes.clear()
  }

  /** When a request of this group is to look again, as it was found when one last looked. */
  wakeOf(group: string): Wake | undefined {
    return this.#wakes.get(group)
  }

  #find(asked: Demand, now: number): PooledKey | undefined {
    this.#lookAtDue(now)
    // A part of a quota that is used up leaves the key where it is: others may have use for it.
    const demand = asked.part === '' ? asked : { ...asked, accepts: (key: PooledKey) => this.#accepts(asked, key, now) }
    if (demand.weight < this.#deferredFor) this.undefer()
    const preferred = demand.prefers === undefined ? undefined : this.#keys.get(demand.prefers)
    if (preferred?.place === 'ready' && !this.#hasExpired(preferred) && this.#isOpenTo(preferred, demand, now)) {
      this.#selection(preferred).taken(preferred)
      return preferred
    }
    if (demand.mayProbe) {
      const probe = this.#dueProbe(demand, now)
      if (probe) return probe
    }
    for (const { selection } of this.#tiers) {
      for (;;) {
        const key = selection.next(demand)
        if (!key) break
        if (this.#hasExpired(key)) {
          this.#host.expired(key)
        } else if (availableAt(key, demand.weigh, now) > now) {
          // Ready for a light request, not for this one.
          this.settle(key, demand.weigh, now)
          this.#deferred.add(key)
          this.#deferredFor = Math.max(this.#deferredFor, demand.weight)
        } else {
          selection.taken(key)
          return key
        }
      }
    }
    return undefined
  }

  /** Forgets what heavy requests found: they have gone, or a lighter one asks. */
  undefer(): void {
    for (const key of this.#deferred) if (key.place !== 'ready') this.settle(key)
    this.#deferred.clear()
    this.#deferredFor = 0
  }

  /** Whether any of the keys that a request accepts is in use at all, now or later. */
  mayServe({ accepts }: Demand): boolean {
    for (const key of this.#keys.values()) {
      if (key.place !== 'out' && key.place !== 'probe' && (!accepts || accepts(key))) return true
    }
    return false
  }

  /**
   * What there is to wait for, as things stood when a request was last turned away.
   *
   * What becomes due in this very moment is left for the next look: found ready here, it would be in no timer's sight.
   */
  hope(now: number): Hope {
    const closed = this.#host.closed([], now, () => this.#hasFreshKey(''))
    const hope = this.#hopeOfKeys()
    if (!closed || hope.kind === 'none') return hope
    if (closed.mayOpenEarlier) return { kind: 'held' }
    return { kind: 'at', at: hope.kind === 'at' ? Math.max(hope.at, closed.until) : closed.until }
  }

  #hasFreshKey(part: string): boolean {
    for (const key of this.#keys.values()) if (key.place === 'ready' && isFresh(key, part)) return true
    return false
  }

  #hopeOfKeys(): Hope {
    if (this.#tiers.some(tier => tier.selection.size > 0)) return { kind: 'now' }
    if (this.#held > 0 || this.#tried > 0) return { kind: 'held' }
    const first = this.#timed.first
    return first ? { kind: 'at', at: first.readyAt } : { kind: 'none' }
  }

  /** When the first key is to be looked at again; `undefined` where time alone brings none back. */
  nextAt(): number | undefined {
    const wakes = [...this.#wakes.values()].map(({ at }) => at)
    const at = Math.min(this.#timed.first?.readyAt ?? Number.POSITIVE_INFINITY, ...wakes)
    return at === Number.POSITIVE_INFINITY ? undefined : at
  }

  #placeFor(key: PooledKey, weigh: Weigh, now: number): Place {
    const { standing } = key
    switch (standing.state) {
      case 'removed':
      case 'disabled':
        return 'out'
      case 'rejected':
        key.readyAt = standing.probeAt
        return key.probing ? 'out' : 'probe'
      case 'enabled':
        break
    }
    const at = availableAt(key, weigh, now)
    if (at <= now) return 'ready'
    if (at === Number.POSITIVE_INFINITY) return 'held'
    // A key that will have expired before its turn is looked at when it expires: those who wait for it must be told.
    const left = key.expiresAt === Number.POSITIVE_INFINITY ? key.expiresAt : key.expiresAt - this.#host.moment().wall
    key.readyAt = Math.min(at, Math.max(now + 1, now + left))
    return 'timed'
  }

  #put(key: PooledKey, place: Place): void {
    key.place = place
    switch (place) {
      case 'ready':
        this.#selection(key).add(key)
        break
      case 'timed':
        this.#timed.push(key)
        key.isTried = key.quota.isTriedFirst
        if (key.isTried) this.#tried++
        break
      case 'probe':
        this.#probes.push(key)
        break
      case 'held':
        this.#held++
        break
      case 'out':
        break
    }
  }

  #take(key: PooledKey): void {
    switch (key.place) {
      case 'ready':
        this.#selection(key).remove(key)
        break
      case 'timed':
        this.#timed.remove(key)
        if (key.isTried) this.#tried--
        break
      case 'probe':
        this.#probes.remove(key)
        break
      case 'held':
        this.#held--
        break
      case 'out':
        break
    }
    key.place = 'out'
  }

  #lookAtDue(now: number): void {
    this.#heedClockChange()
    for (let key = this.#timed.first; key && key.readyAt <= now; key = this.#timed.first) {
      if (this.#hasExpired(key)) this.#host.expired(key)
      else this.settle(key, LEAST, now)
    }
  }

  #dueProbe(demand: Demand, now: number): PooledKey | undefined {
    const key = this.#probes.first
    if (!key || key.readyAt > now) return undefined
    if (this.#hasExpired(key)) {
      this.#host.expired(key)
      return this.#dueProbe(demand, now)
    }
    return this.#isOpenTo(key, demand, now) && key.mayProbe?.() !== false ? key : undefined
  }

  #isOpenTo(key: PooledKey, demand: Demand, now: number): boolean {
    if (demand.accepts && !demand.accepts(key)) return false
    return availableAt(key, demand.weigh, now) <= now
  }

  #accepts({ accepts, part, weigh }: Demand, key: PooledKey, now: number): boolean {
    return (!accepts || accepts(key)) && key.quota.partAvailableAt(part, weigh, now) <= now
  }

  /** When the first key has room for a request of this part; `Infinity` where only the end of another makes it. */
  #partOpensAt({ accepts, part, weigh }: Demand, now: number): Wake {
    let first = Number.POSITIVE_INFINITY
    let mayComeEarlier = false
    for (const key of this.#keys.values()) {
      if (key.place === 'out' || (accepts && !accepts(key))) continue
      const partAt = key.quota.partAvailableAt(part, weigh, now)
      if (key.isTried || key.quota.parts.get(part)?.isTriedFirst) mayComeEarlier = true
      // Busy, as a whole or with this part: it comes back with the end of a request, at any moment.
      if (key.place === 'held' || partAt === Number.POSITIVE_INFINITY) mayComeEarlier = true
      else first = Math.min(first, Math.max(key.place === 'ready' ? now : key.readyAt, partAt))
    }
    return { at: Math.max(first, now + 1), mayComeEarlier }
  }

  /** Where the system's clock was set, calendar windows and `expiresAt` come at other times than was thought. */
  #heedClockChange(): void {
    const { now, wall } = this.#host.moment()
    if (Math.abs(wall - now - this.#wallOffset) < CLOCK_CHANGE_MS) return
    this.#wallOffset = wall - now
    for (const key of this.#keys.values()) if (key.place === 'timed') this.settle(key, LEAST, now)
  }

  #hasExpired(key: PooledKey): boolean {
    return key.expiresAt !== Number.POSITIVE_INFINITY && this.#host.moment().wall >= key.expiresAt
  }

  #selection(key: PooledKey): Selection {
    return this.#tiers.find(tier => tier.priority === key.priority)!.selection
  }
}
