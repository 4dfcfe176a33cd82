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
  readonly #flights = new Map<string, { key: string; waiting: number; outdated: boolean; landed: Promise<Landing> }>()
  readonly #own = new WeakMap<Flight, object>()
  /** Also those that nobody can join any more. */
  readonly #underWay = new Map<string, Set<{ outdated: boolean }>>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** What comes of an equal request on its way; `undefined` if there is none. @throws the signal's reason */
  async join(name: string, signal: AbortSignal | undefined): Promise<Landing | undefined> {
    const flight = this.#flights.get(name)
    if (!flight) return undefined
    flight.waiting++
    try {
      return await abortable(this.#clock, flight.landed, signal)
    } finally {
      flight.waiting--
    }
  }

  isUnderWay(name: string): boolean {
    return this.#flights.has(name)
  }

  /** Announces a request; others may join until it lands. */
  start(name: string, key: string): Flight {
    let land!: (landing: Landing) => void
    const landed = new Promise<Landing>(resolve => {
      land = resolve
    })
    const flight = { key, waiting: 0, outdated: false, landed }
    this.#flights.set(name, flight)
    const underWay = this.#underWay.get(key) ?? new Set()
    this.#underWay.set(key, underWay.add(flight))
    const announced: Flight = {
      get waiting() {
        return flight.waiting
      },
      get outdated() {
        return flight.outdated
      },
      land: landing => {
        if (this.#flights.get(name) === flight) this.#flights.delete(name)
        underWay.delete(flight)
        if (underWay.size === 0) this.#underWay.delete(key)
        land(flight.outdated && landing.kind === 'shared' ? { kind: 'unshared' } : landing)
      },
    }
    this.#own.set(announced, flight)
    return announced
  }

  /** What is on its way to this key, but for `own`, is out of date before it arrives: nobody joins it any more, and it is not stored. */
  forget(key: string, own?: Flight): void {
    for (const flight of this.#underWay.get(key) ?? []) if (this.#own.get(own!) !== flight) flight.outdated = true
    for (const [name, flight] of this.#flights) {
      if (flight.key === key && this.#own.get(own!) !== flight) this.#flights.delete(name)
    }
  }
}
