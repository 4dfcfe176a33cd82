import { abortable, type Clock } from '../clock.js'
import type { CacheEntry } from './cache-store.js'

/**
 * What came of a request that others wait for: a response for all; nothing that may be shared, or a failure, so that each
 * must ask for itself; or that its caller has given up, so that the next may try for all.
 */
export type Landing =
  | { readonly kind: 'shared'; readonly entry: CacheEntry }
  | { readonly kind: 'unshared' }
  | { readonly kind: 'failed' }
  | { readonly kind: 'aborted' }

/** A request on its way whose response may serve others. */
export interface Flight {
  /** How many wait for it. */
  readonly waiting: number
  /** Whether what it brings was changed on the server meanwhile, as far as anyone here knows: not to be stored. */
  readonly outdated: boolean
  /** What came of it; the first word counts. */
  land(landing: Landing): void
}

/** Lets equal requests wait for the first of them. */
export class SingleFlight {
  readonly #clock: Clock
  /** Those that can be joined, by what equal calls have in common. */
  readonly #open = new Map<string, UnderWay>()
  /** All of them by what they bring, also those that nobody can join any more. */
  readonly #underWay = new Map<string, Set<UnderWay>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** What comes of an equal request on its way; `undefined` if there is none. @throws the signal's reason */
  async join(name: string, signal: AbortSignal | undefined): Promise<Landing | undefined> {
    const flight = this.#open.get(name)
    if (!flight) return undefined
    flight.waiting++
    try {
      return await abortable(this.#clock, flight.landed(), signal)
    } finally {
      flight.waiting--
    }
  }

  isUnderWay(name: string): boolean {
    return this.#open.has(name)
  }

  /** Announces a request; others may join until it lands. */
  start(name: string, key: string): Flight {
    const flight = new UnderWay(name, key, landed => this.#landed(landed))
    this.#open.set(name, flight)
    const others = this.#underWay.get(key)
    if (others) others.add(flight)
    else this.#underWay.set(key, new Set([flight]))
    return flight
  }

  /** What is on its way to this key, but for `own`, is out of date before it arrives: nobody joins it any more, and it is not stored. */
  forget(key: string, own?: Flight): void {
    for (const flight of this.#underWay.get(key) ?? []) {
      if (flight === own) continue
      flight.outdated = true
      this.#close(flight)
    }
  }

  #landed(flight: UnderWay): void {
    this.#close(flight)
    const all = this.#underWay.get(flight.key)
    all?.delete(flight)
    if (all?.size === 0) this.#underWay.delete(flight.key)
  }

  #close(flight: UnderWay): void {
    if (this.#open.get(flight.name) === flight) this.#open.delete(flight.name)
  }
}

class UnderWay implements Flight {
  readonly name: string
  readonly key: string
  waiting = 0
  outdated = false
  readonly #onLanding: (flight: UnderWay) => void
  #landing: Landing | undefined
  #landed: Promise<Landing> | undefined
  #resolve: ((landing: Landing) => void) | undefined

  constructor(name: string, key: string, onLanding: (flight: UnderWay) => void) {
    this.name = name
    this.key = key
    this.#onLanding = onLanding
  }

  /** What comes of it: a promise only for those who ask. */
  landed(): Promise<Landing> {
    this.#landed ??= new Promise(resolve => {
      this.#resolve = resolve
      if (this.#landing) resolve(this.#landing)
    })
    return this.#landed
  }

  land(landing: Landing): void {
    if (this.#landing) return
    this.#landing = this.outdated && landing.kind === 'shared' ? { kind: 'unshared' } : landing
    this.#resolve?.(this.#landing)
    this.#onLanding(this)
  }
}
