import { EventEmitter } from 'eventemitter3'
import type { KeyPoolEvents } from '../events.js'
import type { PoolStats } from '../insight/counters.js'
import type { Diagnosis } from '../insight/diagnosis.js'
import type { KeySnapshot } from '../key-snapshot.js'
import type { KeyInput } from '../options.js'

/** What the pool's face stands on; made by `createPool`. */
export interface PoolCore {
  keys(): KeySnapshot[]
  add(key: KeyInput): string
  remove(id: string): void
  refresh(): Promise<void>
  disable(id: string): void
  enable(id: string): void
  reset(id: string | undefined): void
  stats(): PoolStats
  diagnose(): Diagnosis
}

/** The keys behind a wrapped fetch: what they are doing, and what can be done with them while requests run. */
export class KeyPool extends EventEmitter<KeyPoolEvents> {
  readonly #core: PoolCore

  /** @internal A pool is made by `wrapFetch`. */
  constructor(core: PoolCore) {
    super()
    this.#core = core
  }

  /** How each key is doing: everything but its value. */
  keys(): KeySnapshot[] {
    return this.#core.keys()
  }

  /**
   * Adds a key; requests that wait may go on with it at once.
   *
   * @returns its id
   * @throws InvalidOptionError for a key that can't be meant, or that is in the pool already
   */
  add(key: KeyInput): string {
    return this.#core.add(key)
  }

  /**
   * Takes a key out; what is on its way with it comes back as ever.
   *
   * @throws KeypoolError with `ERR_UNKNOWN_KEY`
   */
  remove(id: string): void {
    this.#core.remove(id)
  }

  /**
   * Asks the function that was given as `keys` again. Keys that stay keep their state, new ones come in, and those that
   * it no longer brings go. With a list as `keys`, there is nothing to ask.
   *
   * @throws KeypoolError with `ERR_KEYS_UNAVAILABLE` when the function fails; the keys stay as they were
   */
  refresh(): Promise<void> {
    return this.#core.refresh()
  }

  /** Uses a key no more, until `enable`. @throws KeypoolError with `ERR_UNKNOWN_KEY` */
  disable(id: string): void {
    this.#core.disable(id)
  }

  /** Uses a key again that was disabled, by the program or by the server. @throws KeypoolError with `ERR_UNKNOWN_KEY` */
  enable(id: string): void {
    this.#core.enable(id)
  }

  /** Forgets what was held against a key, or against all: disabled, invalid, exhausted. @throws KeypoolError with `ERR_UNKNOWN_KEY` */
  reset(id?: string): void {
    this.#core.reset(id)
  }

  /** What has happened so far, in numbers. */
  stats(): PoolStats {
    return this.#core.stats()
  }

  /**
   * Why keys are running out, the heaviest reason first, each with its evidence in numbers and what to do: limits that
   * are exceeded, bursts, requests in a loop, too little caching, trouble of the service, quotas, bad keys, keys that
   * share one limit, a limited address or resource, requests that are wrong themselves, endpoints that don't answer.
   * `text` says it all for people to read.
   */
  diagnose(): Diagnosis {
    return this.#core.diagnose()
  }
}
