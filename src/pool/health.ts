import { dateAt } from '../clock.js'
import type { Incidents } from '../insight/incidents.js'
import type { LimitReading } from '../signals/limit-fields.js'
import type { RefusalCause } from '../signals/outcome.js'
import type { Scope } from '../signals/provider.js'
import { LONGEST_WAIT } from '../signals/when.js'
import type { Blame } from './blame.js'
import type { EndpointSign } from './endpoint.js'
import { type Gates, MOST_KEYS } from './gates.js'
import type { Keyring } from './keyring.js'
import type { Lease } from './lease.js'
import type { PooledKey } from './pooled-key.js'
import type { Lane } from './quota.js'
import { reachOf } from './reach.js'
import type { Recovery, RecoveryHost } from './recovery.js'

/** A refusal, as it was read from an answer. */
export interface Refusal<RefusedFor extends RefusalCause = RefusalCause> {
  readonly cause: RefusedFor
  readonly scope: Scope
  readonly status: number
  /** How long the server says to wait, in milliseconds; `undefined`: it doesn't say. */
  readonly wait: number | undefined
  /** Whether it speaks of tokens. */
  readonly ofTokens: boolean
  /** What its fields tell of the limits. */
  readonly readings: readonly LimitReading[]
}

/** A refusal that takes a key's quota, or a part of it, away for a while. */
type OfKey = Refusal<'rate-limit' | 'quota'>

function isOfKey(refusal: Refusal): refusal is OfKey {
  return refusal.cause !== 'overload' && refusal.scope !== 'address' && refusal.scope !== 'resource'
}

/** Bounds on what a server may say, and what is guessed when it says nothing, in milliseconds. */
export const COOLDOWN = {
  floor: 5,
  cap: LONGEST_WAIT,
  /** Waits from which on one request tries before their end: after 5 minutes at first, then twice as long each time. */
  doubt: {
    from: 600_000,
    first: 300_000,
    /** A rate of tokens that is said to last for hours was met by one request that was too large. */
    firstOfTokenRate: 60_000,
    long: 6 * 3_600_000,
    longest: 3_600_000,
  },
  /** Of a quota that doesn't say: doubled with each refusal in a row. */
  guess: { first: 300_000, longest: 21_600_000 },
  probe: { first: 60_000, longest: 3_600_000 },
  /** A wait is lengthened by up to this share at random, so that many processes don't return in one instant. */
  jitter: 0.05,
  longestJitter: 1_000,
} as const

export interface HealthHost extends RecoveryHost {
  readonly incidents: Incidents
  /** From 0 to 1. */
  random(): number
}

/** How long until one request tries whether keys really share a limit, in milliseconds. */
const SUSPICION = 500
/** How soon a key is tried again that is hardly to blame, in milliseconds. */
const HARDLY = 1_000

/** Changes the state of keys and quotas by what the server, the program and the calendar say. */
export class Health {
  readonly #keyring: Keyring
  readonly #gates: Gates
  readonly #blame: Blame
  readonly #host: HealthHost
  readonly #recovery: Recovery

  constructor(keyring: Keyring, gates: Gates, blame: Blame, recovery: Recovery, host: HealthHost) {
    this.#keyring = keyring
    this.#gates = gates
    this.#blame = blame
    this.#recovery = recovery
    this.#host = host
  }

  /** The server answered as it does to a key in order, and told of limits in its fields. */
  succeeded(lease: Lease, readings: readonly LimitReading[]): void {
    const { key, part, callId } = lease
    const { quota } = key
    lease.passed(readings)
    const now = this.#host.now()
    key.provenAt = now
    this.#blame.passed(key, lease.takenAt, now)
    this.#gates.passed(lease.resources, lease.takenAt)
    this.#laneSucceeded(quota, lease, () => this.#recovery.lane(quota, key, null, { sentAt: lease.takenAt, callId }))
    if (part)
      this.#laneSucceeded(part.lane, lease, () =>
        this.#recovery.lane(part.lane, key, part.name, { sentAt: lease.takenAt, callId }),
      )
    if (key.standing.state === 'rejected' && lease.takenAt >= key.standing.since)
      this.#recovery.key(key, { sentAt: lease.takenAt, callId })
  }

  /** What an attempt has shown of the key's own endpoint. @returns whether requests can go to another meanwhile */
  endpointSaw(key: PooledKey, sign: EndpointSign): boolean {
    const { endpoint } = key
    if (!endpoint) return false
    const now = this.#host.now()
    const hasOther = [...this.#keyring.values()].some(each => {
      return each.standing.state === 'enabled' && each.endpoint !== endpoint && !each.endpoint?.isResting(now)
    })
    if (endpoint.noted(sign, now, hasOther)) {
      this.#keyring.settleEndpoint(endpoint)
      this.#host.changed()
    }
    return hasOther
  }

  /** The server refused the key for now, or all that goes the same way. */
  refused(lease: Lease, refusal: Refusal): void {
    const { key, part } = lease
    if (refusal.cause === 'rate-limit') this.#host.incidents.refused(refusal)
    if (isOfKey(refusal)) {
      key.lastCause = refusal.cause
      this.#laneRefused(refusal.scope === 'model' ? (part?.lane ?? key.quota) : key.quota, lease, refusal)
    } else {
      this.#refusedWhateverKey(lease, refusal)
    }
  }

  #laneSucceeded(lane: Lane, { takenAt }: Lease, recover: () => void): void {
    const { cooldown } = lane
    if (cooldown.state === 'half-open' && takenAt > cooldown.refusedAt) recover()
    else if (cooldown.state === 'open') lane.refusals = 0
  }

  #laneRefused(lane: Lane, lease: Lease, refusal: OfKey): void {
    const { key } = lease
    const now = this.#host.now()
    const { cooldown } = lane
    // Requests that were on their way together are one incident: each may make the wait longer, none makes it worse.
    const sameIncident = cooldown.state !== 'open' && lease.takenAt <= cooldown.refusedAt
    if (!sameIncident) lane.refusals++
    if (refusal.cause === 'rate-limit') lane.limiter.refused()
    const { told, wait } = this.#waitFor(lane, lease, refusal)
    const until = now + wait + this.#jitter(wait)
    if (sameIncident && (cooldown.state === 'half-open' || (cooldown.state === 'cooling' && until <= cooldown.until))) {
      return
    }
    const since = cooldown.state === 'open' ? now : cooldown.since
    const tryAt = this.#tryAt(lane, now, wait, refusal)
    lane.cooldown = { state: 'cooling', cause: refusal.cause, since, refusedAt: now, until, told, tryAt }
    this.#keyring.settleQuota(key.quota)
    this.#host.tell(key, {
      ...{ kind: 'cooling', part: lane === key.quota ? '' : lease.part!.name, sentAt: lease.takenAt },
      ...{ cause: refusal.cause, status: refusal.status, scope: refusal.scope },
      ...{ since, refusedAt: now, until, told, tryAt: Number.isFinite(tryAt) ? tryAt : null },
    })
    if (!sameIncident) {
      const end = told ? until : undefined
      const alike = refusal.cause === 'rate-limit' ? this.#suspect(lease, end, wait) : []
      const scope = alike.length > 0 ? 'account' : refusal.scope
      this.#tellRefusal(lease, { ...refusal, scope }, end, lane === key.quota ? null : lease.part!.name, alike)
    }
    this.#host.changed()
  }

  /**
   * Where keys turn out to share a limit, the rest of them are spared: one request at a time tries whether it is so.
   *
   * @returns the other keys that were refused alike; none: it is the key's own limit
   */
  #suspect({ key, part, rested, takenAt }: Lease, until: number | undefined, ownWait: number): readonly string[] {
    const now = this.#host.now()
    const name = part?.name ?? ''
    // It went first when the time was over, and has shown that it is not.
    const before = this.#gates.closureTriedBy(name, takenAt)
    const alike = this.#blame.refused({ quota: key.quota, part: name, rested, until }, now, this.#keyring.size)
    const standing = this.#gates.closure([name], now)
    const known = before ?? (standing?.scope === 'account' ? standing : undefined)
    const others = (known?.keyIds ?? alike).filter(id => id !== key.id)
    if (others.length === 0) return []
    const wait = before ? this.#gates.guess(name, takenAt, now) : Math.max(ownWait, SUSPICION * 4)
    this.#gates.close(name, {
      ...{ cause: 'rate-limit', scope: 'account', name: part?.name ?? null, since: now },
      ...{ until: until ?? now + wait, tryAfter: SUSPICION, keyIds: [...others, key.id].slice(-MOST_KEYS) },
    })
    return others
  }

  /** No other key helps: nothing goes out till it is over. */
  #refusedWhateverKey(lease: Lease, refusal: Refusal): void {
    const now = this.#host.now()
    const { scope, cause } = refusal
    const name = scope === 'resource' ? lease.resource : ''
    const part = name === '' ? null : name
    const gate = part === null ? '' : (lease.resources.at(-1) ?? '')
    this.#host.incidents.refusedWhateverKey(scope, name, lease.key.id)
    const before = this.#gates.closure(gate === '' ? [] : [gate], now)
    const told = refusal.wait !== undefined && refusal.wait > 0
    const wait = told ? bounded(refusal.wait!) : this.#gates.guess(gate, lease.takenAt, now)
    const until = now + wait + this.#jitter(wait)
    this.#gates.close(gate, {
      cause,
      scope,
      name: part,
      since: now,
      until,
      tryAfter: undefined,
      keyIds: [lease.key.id],
    })
    // That a resource is overloaded is no matter of a key's.
    if (!before && cause !== 'overload') {
      this.#tellRefusal(lease, { ...refusal, cause }, told ? until : undefined, part)
    }
    this.#host.changed()
  }

  #tellRefusal(
    { key, callId }: Lease,
    { cause, scope, status }: OfKey,
    until: number | undefined,
    part: string | null,
    alike: readonly string[] = [],
  ): void {
    this.#host.emit('key-exhausted', () => ({
      ...{ callId, keyId: key.id, cause, until: until === undefined ? null : dateAt(this.#host.moment(), until) },
      ...{ scope: reachOf(key, scope, part), part, status, alike: alike.slice(0, MOST_KEYS) },
    }))
  }

  /**
   * The server refused the key as invalid.
   *
   * @returns whether that is believed: not of one key after another that were in order a moment ago
   */
  rejected(lease: Lease, status: number): boolean {
    const { key } = lease
    const { standing } = key
    if (standing.state === 'removed' || standing.state === 'disabled') return true
    // It was refused with a value that it has no longer.
    if (lease.secret !== key.secret) return true
    if (standing.state === 'rejected' && lease.probe !== 'key') return true
    const now = this.#host.now()
    const alike = this.#blame.rejected(key, now)
    // A key that has not been asked may show that the others are to blame; only when none is left is it not the keys.
    if (alike.length > 0 && !this.#isAnyUntried(key, alike)) {
      for (const each of alike) this.#recovery.key(each, { sentAt: now, callId: lease.callId })
      return false
    }
    const failures = standing.state === 'rejected' ? standing.failures + 1 : 1
    const { first, longest } = COOLDOWN.probe
    const wait = Math.min(longest, first * 2 ** (failures - 1))
    const probeAt = now + wait + this.#jitter(wait)
    const since = standing.state === 'rejected' ? standing.since : now
    key.standing = { state: 'rejected', since, status, failures, probeAt }
    key.probing = false
    key.lastCause = 'invalid-key'
    this.#keyring.settle(key)
    this.#host.tell(key, { kind: 'rejected', sentAt: lease.takenAt, status, since, failures, probeAt })
    this.#host.emit('key-disabled', () => ({
      callId: lease.callId,
      keyId: key.id,
      cause: 'invalid-key',
      status,
      probeAt: dateAt(this.#host.moment(), probeAt),
    }))
    // All may be bad, or one path is closed to all: others are asked for soon.
    if (this.#isEveryKeyRejected()) for (const each of this.#keyring.values()) this.#tryAgain(each, now + HARDLY)
    this.#host.changed()
    return true
  }

  /** Whether a key is ready that was not refused alike. */
  #isAnyUntried(refused: PooledKey, alike: readonly PooledKey[]): boolean {
    for (const key of this.#keyring.values()) {
      if (key !== refused && key.place === 'ready' && !alike.includes(key)) return true
    }
    return false
  }

  /** Whether every key of several was refused as invalid, for the first time, and none was ever seen working. */
  #isEveryKeyRejected(): boolean {
    const keys = [...this.#keyring.values()]
    return (
      keys.length > 1 &&
      keys.every(({ standing, provenAt }) => {
        return provenAt === undefined && standing.state === 'rejected' && standing.failures === 1
      })
    )
  }

  #tryAgain(key: PooledKey, probeAt: number): void {
    if (key.standing.state !== 'rejected' || key.standing.probeAt <= probeAt) return
    key.standing = { ...key.standing, probeAt }
    this.#keyring.settle(key)
  }

  /** Switches a key off, for the program or because it has expired. */
  disable(key: PooledKey, cause: 'disabled' | 'expired'): void {
    if (key.standing.state === 'removed' || key.standing.state === 'disabled') return
    key.standing = { state: 'disabled', cause, since: this.#host.now() }
    key.lastCause = cause
    this.#keyring.settle(key)
    // That it has expired, each process knows by itself.
    if (cause === 'disabled') this.#host.tell(key, { kind: 'disabled', sentAt: this.#host.now() })
    this.#host.emit('key-disabled', () => ({ callId: null, keyId: key.id, cause, status: null, probeAt: null }))
    this.#host.changed()
  }

  /** Switches a key on again, whatever had switched it off; its quota keeps its cooldown. */
  enable(key: PooledKey): void {
    if (key.standing.state !== 'disabled' && key.standing.state !== 'rejected') return
    this.#recovery.key(key, { sentAt: this.#host.now() })
  }

  /** Forgets all that was held against a key: its standing and its quota's cooldown. */
  reset(key: PooledKey): void {
    this.enable(key)
    const now = this.#host.now()
    this.#recovery.lane(key.quota, key, null, { sentAt: now })
    for (const [name, lane] of key.quota.parts) this.#recovery.lane(lane, key, name, { sentAt: now })
    this.#gates.openAll()
    key.lastCause = undefined
  }

  /** How long a lane rests, and whether the server has said so. */
  #waitFor(lane: Lane, lease: Lease, { cause, wait, readings }: OfKey): { told: boolean; wait: number } {
    const { guess } = COOLDOWN
    const said = wait !== undefined && wait > 0 ? wait : undefined
    if (cause === 'rate-limit') {
      const learnt = lease.refused(said, readings, lane === lease.part?.lane)
      return { told: said !== undefined, wait: bounded(learnt) }
    }
    if (said !== undefined) return { told: true, wait: bounded(said) }
    return { told: false, wait: Math.min(guess.longest, guess.first * 2 ** (Math.max(1, lane.refusals) - 1)) }
  }

  /** A wait that is long may be wrong, or be cut short by someone who pays: one request in a while finds out. */
  #tryAt(lane: Lane, now: number, wait: number, { cause, ofTokens }: OfKey): number {
    const { from, first: usual, firstOfTokenRate, long, longest } = COOLDOWN.doubt
    if (wait < from) return Number.POSITIVE_INFINITY
    const first = cause === 'rate-limit' && ofTokens && wait >= long ? firstOfTokenRate : usual
    return now + Math.min(longest, first * 2 ** (Math.max(1, lane.refusals) - 1))
  }

  #jitter(wait: number): number {
    return Math.round(Math.min(COOLDOWN.longestJitter, wait * COOLDOWN.jitter) * this.#host.random())
  }
}

function bounded(wait: number): number {
  return Math.min(COOLDOWN.cap, Math.max(COOLDOWN.floor, wait))
}
