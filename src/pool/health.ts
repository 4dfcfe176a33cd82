import type { Cause, Emit } from '../events.js'
import type { LimitReading } from '../signals/limit-fields.js'
import type { Keyring } from './keyring.js'
import type { Lease } from './lease.js'
import { ENABLED, type KeyQuota, type PooledKey } from './pooled-key.js'
import { OPEN } from './quota.js'

/** A refusal, as it was read from an answer. */
export interface Refusal {
  readonly cause: 'rate-limit' | 'quota'
  readonly status: number
  /** How long the server says to wait, in milliseconds; `undefined`: it doesn't say. */
  readonly wait: number | undefined
  /** What its fields tell of the limits. */
  readonly readings: readonly LimitReading[]
}

/** Bounds on what a server may say, and what is guessed when it says nothing, in milliseconds. */
export const COOLDOWN = {
  floor: 5,
  cap: 86_400_000,
  /** Of a quota that doesn't say: doubled with each refusal in a row. */
  guess: { first: 300_000, longest: 21_600_000 },
  probe: { first: 60_000, longest: 3_600_000 },
  /** A wait is lengthened by up to this share at random, so that many processes don't return in one instant. */
  jitter: 0.05,
  longestJitter: 1_000,
} as const

export interface HealthHost {
  now(): number
  /** From 0 to 1. */
  random(): number
  readonly emit: Emit
  /** A key may have become usable, or waiting may have become hopeless. */
  changed(): void
}

/** Changes the state of keys and quotas by what the server, the program and the calendar say. */
export class Health {
  readonly #keyring: Keyring
  readonly #host: HealthHost

  constructor(keyring: Keyring, host: HealthHost) {
    this.#keyring = keyring
    this.#host = host
  }

  /** The server answered as it does to a key in order, and told of limits in its fields. */
  succeeded(lease: Lease, readings: readonly LimitReading[]): void {
    const { key } = lease
    lease.passed(readings)
    const { quota } = key
    if (quota.cooldown.state === 'half-open' && lease.takenAt > quota.cooldown.refusedAt) this.#recoverQuota(quota, key)
    else if (quota.cooldown.state === 'open') quota.refusals = 0
    if (key.standing.state === 'rejected' && lease.takenAt >= key.standing.since) this.#recoverKey(key)
  }

  /** The server refused the key for now. */
  refused(lease: Lease, refusal: Refusal): void {
    const { key } = lease
    const { quota } = key
    const now = this.#host.now()
    const { cooldown } = quota
    key.lastCause = refusal.cause
    // Requests that were on their way together are one incident: each may make the wait longer, none makes it worse.
    const sameIncident = cooldown.state !== 'open' && lease.takenAt <= cooldown.refusedAt
    if (!sameIncident) quota.refusals++
    if (refusal.cause === 'rate-limit') quota.limiter.refused()
    const { told, wait } = this.#waitFor(lease, refusal)
    const until = now + wait + this.#jitter(wait)
    if (sameIncident && (cooldown.state === 'half-open' || (cooldown.state === 'cooling' && until <= cooldown.until))) {
      return
    }
    const since = cooldown.state === 'open' ? now : cooldown.since
    quota.cooldown = { state: 'cooling', cause: refusal.cause, since, refusedAt: now, until, told }
    this.#keyring.settleQuota(quota)
    if (!sameIncident) {
      this.#host.emit('key-exhausted', () => ({
        keyId: key.id,
        cause: refusal.cause,
        until: told ? new Date(until) : null,
        scope: quota.group === undefined ? 'key' : 'group',
        status: refusal.status,
      }))
    }
    this.#host.changed()
  }

  /** The server refused the key as invalid. */
  rejected(lease: Lease, status: number): void {
    const { key } = lease
    const { standing } = key
    if (standing.state === 'removed' || standing.state === 'disabled') return
    if (standing.state === 'rejected' && lease.probe !== 'key') return
    const now = this.#host.now()
    const failures = standing.state === 'rejected' ? standing.failures + 1 : 1
    const { first, longest } = COOLDOWN.probe
    const wait = Math.min(longest, first * 2 ** (failures - 1))
    const probeAt = now + wait + this.#jitter(wait)
    const since = standing.state === 'rejected' ? standing.since : now
    key.standing = { state: 'rejected', since, status, failures, probeAt }
    key.probing = false
    key.lastCause = 'invalid-key'
    this.#keyring.settle(key)
    this.#host.emit('key-disabled', () => ({ keyId: key.id, cause: 'invalid-key', status, probeAt: new Date(probeAt) }))
    this.#host.changed()
  }

  /** Switches a key off, for the program or because it has expired. */
  disable(key: PooledKey, cause: 'disabled' | 'expired'): void {
    if (key.standing.state === 'removed' || key.standing.state === 'disabled') return
    key.standing = { state: 'disabled', cause, since: this.#host.now() }
    key.lastCause = cause
    this.#keyring.settle(key)
    this.#host.emit('key-disabled', () => ({ keyId: key.id, cause, status: null, probeAt: null }))
    this.#host.changed()
  }

  /** Switches a key on again, whatever had switched it off; its quota keeps its cooldown. */
  enable(key: PooledKey): void {
    if (key.standing.state !== 'disabled' && key.standing.state !== 'rejected') return
    this.#recoverKey(key)
  }

  /** Forgets all that was held against a key: its standing and its quota's cooldown. */
  reset(key: PooledKey): void {
    this.enable(key)
    if (key.quota.cooldown.state !== 'open') this.#recoverQuota(key.quota, key)
    key.lastCause = undefined
  }

  #recoverQuota(quota: KeyQuota, key: PooledKey): void {
    const { cooldown } = quota
    if (cooldown.state === 'open') return
    quota.cooldown = OPEN
    quota.refusals = 0
    quota.probing = false
    this.#keyring.settleQuota(quota)
    this.#recovered(key, cooldown.cause, cooldown.since)
  }

  #recoverKey(key: PooledKey): void {
    const { standing } = key
    if (standing.state !== 'rejected' && standing.state !== 'disabled') return
    key.standing = ENABLED
    key.probing = false
    this.#keyring.settle(key)
    this.#recovered(key, standing.state === 'rejected' ? 'invalid-key' : standing.cause, standing.since)
  }

  #recovered(key: PooledKey, cause: Cause, since: number): void {
    const downFor = this.#host.now() - since
    this.#host.emit('key-recovered', () => ({ keyId: key.id, cause, downFor }))
    this.#host.changed()
  }

  /** How long a quota rests, and whether the server has said so. */
  #waitFor(lease: Lease, { cause, wait, readings }: Refusal): { told: boolean; wait: number } {
    const { floor, cap } = COOLDOWN
    const said = wait !== undefined && wait > 0 ? wait : undefined
    const bounded = (each: number) => Math.min(cap, Math.max(floor, each))
    if (cause === 'rate-limit') {
      const learnt = lease.refused(said, readings)
      return { told: said !== undefined, wait: bounded(learnt) }
    }
    if (said !== undefined) return { told: true, wait: bounded(said) }
    const { first, longest } = COOLDOWN.guess
    return { told: false, wait: Math.min(longest, first * 2 ** (Math.max(1, lease.key.quota.refusals) - 1)) }
  }

  #jitter(wait: number): number {
    return Math.round(Math.min(COOLDOWN.longestJitter, wait * COOLDOWN.jitter) * this.#host.random())
  }
}
