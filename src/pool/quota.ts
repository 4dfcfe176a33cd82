import type { Limiter, Weigh } from '../limiter/limiter.js'
import { FIRST_TRY_MS } from './gates.js'

/** Whether a quota may be drawn on, after what the server has said of it. */
export type Cooldown =
  | { readonly state: 'open' }
  | {
      readonly state: 'cooling'
      readonly cause: 'rate-limit' | 'quota'
      /** Since when it has been away. */
      readonly since: number
      /** When the server last refused it. */
      readonly refusedAt: number
      readonly until: number
      /** Whether the server said until when; else it is a guess, and one request at a time will try. */
      readonly told: boolean
      /** When one request tries it before that, as what was said may have been wrong. */
      readonly tryAt: number
    }
  /** The time is over and no request has shown yet that the quota is there again. */
  | {
      readonly state: 'half-open'
      readonly cause: 'rate-limit' | 'quota'
      readonly since: number
      readonly refusedAt: number
      /**
       * Which requests may use it: one at a time where the time was a guess, one first where it was told, any after that. How
       * long the others wait for the first is `FIRST_TRY_MS`.
       */
      readonly admits: 'one' | 'one-first' | 'any'
    }

export const OPEN: Cooldown = { state: 'open' }

/** Limits and a cooldown that hold together: those of a quota, or of a part of it. */
export class Lane {
  readonly limiter: Limiter
  cooldown: Cooldown = OPEN
  /** Whether the one request that tries a half-open lane is on its way. */
  probing = false
  /** When it left. */
  probedAt = 0
  /** Refusals in a row, each burst of them counted once. */
  refusals = 0
  inFlight = 0
  /** When it was last drawn on. */
  takenAt = Number.NEGATIVE_INFINITY
  /** When the request left that last showed it open after it had rested. */
  openedBy = Number.NEGATIVE_INFINITY
  /** Whether this process may be the one that tries it, where several share it; `undefined`: it is the only one. */
  mayProbe: (() => boolean) | undefined

  constructor(limiter: Limiter) {
    this.limiter = limiter
  }

  /** From when a request may pass: `now` if at once, `Infinity` if only the end of another can make room. */
  availableAt(weigh: Weigh, now: number): number {
    if (this.cooldown.state === 'cooling') {
      const { cause, since, refusedAt, until, told, tryAt } = this.cooldown
      const at = Math.min(until, tryAt)
      if (at > now) return at
      this.cooldown = {
        state: 'half-open',
        cause,
        since,
        refusedAt,
        admits: !told || until > now ? 'one' : 'one-first',
      }
    }
    if (this.cooldown.state === 'half-open') {
      const { admits } = this.cooldown
      if (admits === 'one' && (this.probing || this.mayProbe?.() === false)) return Number.POSITIVE_INFINITY
      if (admits === 'one-first' && this.probing) {
        const at = this.probedAt + FIRST_TRY_MS
        if (at > now) return at
        this.cooldown = { ...this.cooldown, admits: 'any' }
      }
    }
    return this.limiter.availableAt(weigh, now)
  }

  /** Whether the next request is the one that tries it, and the others wait for what comes of it. */
  get isProbed(): boolean {
    return this.cooldown.state === 'half-open' && this.cooldown.admits !== 'any'
  }

  /** Whether the first request is on its way that tries it, so that it may be open to all before its time. */
  get isTriedFirst(): boolean {
    return this.probing && this.cooldown.state === 'half-open' && this.cooldown.admits === 'one-first'
  }

  /** The request that tries it leaves. */
  probe(now: number): void {
    this.probing = true
    this.probedAt = now
  }

  /** The request that tried it is over. @param hasOutcome - and was not refused for a limit, where it is still half open */
  probed(hasOutcome: boolean): void {
    this.probing = false
    const { cooldown } = this
    // The service may be in trouble, or out of reach, but it does not refuse: the others need not go one by one.
    if (hasOutcome && cooldown.state === 'half-open' && cooldown.admits === 'one-first')
      this.cooldown = { ...cooldown, admits: 'any' }
  }
}

const NO_PARTS: ReadonlyMap<string, Lane> = new Map()
/** How many parts of a quota are kept in mind, idle ones, and in all: names may come from callers. Those in use are kept. */
const MOST_PARTS = { idle: 200, all: 1_000 }

/** What keys share: the limits and the cooldown of one account, project or plan. Most keys have one of their own. */
export class Quota<Key = unknown> extends Lane {
  readonly group: string | undefined
  readonly keys = new Set<Key>()
  /** The same for each of its parts. */
  mayProbePart: ((name: string) => boolean) | undefined
  /** Made with the first part: most quotas have none, and there may be very many quotas. */
  #parts: Map<string, Lane> | undefined
  readonly #createPart: () => Limiter

  constructor(limiter: Limiter, group: string | undefined, createPart: () => Limiter) {
    super(limiter)
    this.group = group
    this.#createPart = createPart
  }

  /** Parts with limits of their own: models, routes. */
  get parts(): ReadonlyMap<string, Lane> {
    return this.#parts ?? NO_PARTS
  }

  /** Takes over the parts of another. */
  adoptParts({ parts }: Quota<Key>): void {
    if (parts.size > 0) this.#parts = new Map(parts)
  }

  /** The part of this name, made if there is none; `undefined` for the whole. */
  part(name: string): Lane | undefined {
    if (name === '') return undefined
    this.#parts ??= new Map()
    let part = this.#parts.get(name)
    if (part) return part
    part = new Lane(this.#createPart())
    part.mayProbe = this.mayProbePart && (() => this.mayProbePart!(name))
    if (this.#parts.size >= MOST_PARTS.idle) this.#forgetOldest(this.#parts.size >= MOST_PARTS.all)
    this.#parts.set(name, part)
    return part
  }

  /** From when a request of a part may pass, the whole apart: at once where nothing is known of the part. */
  partAvailableAt(name: string, weigh: Weigh, now: number): number {
    return this.parts.get(name)?.availableAt(weigh, now) ?? now
  }

  /** @param evenResting - and not only one that is idle */
  #forgetOldest(evenResting: boolean): void {
    let oldest: string | undefined
    let at = Number.POSITIVE_INFINITY
    for (const [name, part] of this.parts) {
      if (part.inFlight > 0 || part.takenAt >= at || (!evenResting && part.cooldown.state !== 'open')) continue
      oldest = name
      at = part.takenAt
    }
    if (oldest !== undefined) this.#parts?.delete(oldest)
  }
}
