import type { Permit } from '../limiter/limiter.js'
import type { Secret } from '../secret.js'
import type { LimitReading } from '../signals/limit-fields.js'
import type { Demand } from './demand.js'
import type { Endpoint } from './endpoint.js'
import type { PooledKey } from './pooled-key.js'
import type { Lane } from './quota.js'

/** What a lease tries out: nothing, a quota that may be back, or a key that was refused as invalid. */
export type Probe = 'none' | 'quota' | 'key'

/** A part of the key's quota that the request draws on, besides the whole. */
export interface PartOfLease {
  readonly name: string
  readonly lane: Lane
  readonly permit: Permit
  readonly isProbe: boolean
}

/** What a lease is made of, besides the demand that it serves. */
export type LeaseFacts = Pick<Lease, 'key' | 'probe' | 'part' | 'takenAt' | 'rested' | 'triesEndpoint'>

/** Whoever lends. */
export interface LeaseHost {
  /** It is over. */
  giveBack(lease: Lease): void
  /** Lends nothing to those in line before the next turn of the event loop. */
  pause(): void
}

/** A key lent to one attempt, with the permit to send it. It is given back exactly once, by `end`. */
export class Lease {
  readonly key: PooledKey
  /** The call that it was lent for. */
  readonly callId: string
  /** See `Demand`. */
  readonly resource: string
  readonly resources: readonly string[]
  /** The key's value when it was lent: it may be renewed meanwhile. */
  readonly secret: Secret
  readonly takenAt: number
  readonly probe: Probe
  readonly part: PartOfLease | undefined
  /** How long its quota had not been used, in milliseconds. */
  readonly rested: number
  /** The key's own endpoint, where this is the request that tries it. */
  readonly triesEndpoint: Endpoint | undefined
  readonly #permit: Permit
  readonly #host: LeaseHost
  #over = false
  /** Whether it was sent at all. */
  left = false
  /** Whether it has come to something: to an answer, whatever that said, or to a failure that was not the caller's doing. */
  hasOutcome = false

  constructor(facts: LeaseFacts, { callId, resource, resources }: Demand, permit: Permit, host: LeaseHost) {
    this.key = facts.key
    this.callId = callId
    this.resource = resource
    this.resources = resources
    this.secret = facts.key.secret
    this.takenAt = facts.takenAt
    this.probe = facts.probe
    this.part = facts.part
    this.rested = facts.rested
    this.triesEndpoint = facts.triesEndpoint
    this.#permit = permit
    this.#host = host
  }

  /** Whether a limit counts requests at once, so that the lease must be held until the body has ended. */
  get holdsConcurrency(): boolean {
    return this.key.quota.limiter.meters.some(meter => meter.unit === 'concurrency')
  }

  /** The attempt is being sent. */
  leaves(): void {
    this.left = true
    this.#permit.leaves()
    this.part?.permit.leaves()
  }

  /** The server has let it pass, and told of limits: those of the part, where there is one. */
  passed(readings: readonly LimitReading[]): void {
    this.#permit.passed(this.part ? [] : readings)
    this.part?.permit.passed(readings)
  }

  /**
   * The server has refused it for a limit: see `Permit`.
   *
   * @param ofPart - whether it was the part's limit
   */
  refused(told: number | undefined, readings: readonly LimitReading[], ofPart: boolean): number {
    return (ofPart ? this.part!.permit : this.#permit).refused(told, readings)
  }

  /** No answer has come, and none will. */
  failed(): void {
    this.hasOutcome = true
  }

  /** It has taken so many tokens. */
  settle(tokens: number): void {
    this.#permit.settle(tokens)
  }

  /** Whether a limit of tokens has reserved what is settled when the answer says how many it took. */
  get holdsTokens(): boolean {
    return this.key.quota.limiter.meters.some(meter => meter.unit === 'tokens' && meter.settle !== undefined)
  }

  /** Whether the program's own `cost` has reserved tokens for it. */
  get hasReservedByCost(): boolean {
    return this.#permit.hasReservedByCost
  }

  /** How many tokens are reserved for it, of the key's quota and of the part; `undefined`: no limit counts them. */
  get reservedTokens(): number | undefined {
    const ofPart = this.part?.permit.reservedTokens
    const ofKey = this.#permit.reservedTokens
    return ofPart === undefined ? ofKey : Math.max(ofPart, ofKey ?? 0)
  }

  /** The server has counted it. */
  answered(): void {
    this.hasOutcome = true
    this.#permit.answered()
    this.part?.permit.answered()
  }

  /**
   * It is over, or will not be sent.
   *
   * Callers give up together (a timeout that is the same for all, a shutdown): what one of them leaves behind is lent again in
   * the next turn of the event loop only, or the next in line would be sent just to be aborted in its turn.
   */
  end(): void {
    if (this.#over) return
    this.#over = true
    if (this.left && !this.hasOutcome) this.#host.pause()
    // What was never sent has cost the key nothing.
    if (this.left) {
      this.#permit.end()
      this.part?.permit.end()
    } else {
      this.#permit.undo()
      this.part?.permit.undo()
    }
    this.#host.giveBack(this)
  }
}
