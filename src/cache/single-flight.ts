import type { CacheEntry } from './cache-store.js'

/** A request on its way whose response may serve others. */
export interface Flight {
  /** How many wait for it. */
  readonly waiting: number
  /** What came of it: a response to share, or nothing that others can use. The first word counts. */
  land(entry: CacheEntry | undefined): void
}

/** Lets equal requests wait for the first of them. */
export class SingleFlight {
  readonly #flights = new Map<
    string,
    { readonly key: string; waiting: number; readonly landed: Promise<CacheEntry | undefined> }
  >()

  /** The response of an equal request on its way; `undefined` if there is none, or nothing came of it. */
  async join(name: string, signal: AbortSignal | undefined): Promise<CacheEntry | undefined> {
    const flight = this.#flights.get(name)
    if (!flight) return undefined
    flight.waiting++
    let stop: (() => void) | undefined
    try {
      if (!signal) return await flight.landed
      const aborted = new Promise<never>((_, reject) => {
        stop = () => reject(signal.reason)
        signal.addEventListener('abort', stop, { once: true })
      })
      return await Promise.race([flight.landed, aborted])
    } finally {
      flight.waiting--
      if (stop) signal?.removeEventListener('abort', stop)
    }
  }

  isUnderWay(name: string): boolean {
    return this.#flights.has(name)
  }

  /** Announces a request; others may join until it lands. */
  start(name: string, key: string): Flight {
    let land!: (entry: CacheEntry | undefined) => void
    const landed = new Promise<CacheEntry | undefined>(resolve => {
      land = resolve
    })
    const flight = { key, waiting: 0, landed }
    this.#flights.set(name, flight)
    return {
      get waiting() {
        return flight.waiting
      },
      land: entry => {
        if (this.#flights.get(name) === flight) this.#flights.delete(name)
        land(entry)
      },
    }
  }

  /** What is on its way to this key is out of date before it arrives: nobody joins it any more. */
  forget(key: string): void {
    for (const [name, flight] of this.#flights) if (flight.key === key) this.#flights.delete(name)
  }
}
