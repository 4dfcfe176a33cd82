import { ServerClock } from './server-clock.js'

/** What was found out about how a service means its fields: the same for all keys. */
export interface FieldMeaning {
  /** What is there again at a reset: all of the limit, as with fixed windows, or some of it. */
  resets: 'unknown' | 'all' | 'some'
  /** Whether more becomes available bit by bit before the reset, as with buckets; `testing`: one request is finding out. */
  gradual: 'unknown' | 'testing' | 'yes' | 'no'
  /** Whether nothing passes when nothing remains: `no` after requests have passed all the same. */
  honest: 'unknown' | 'yes' | 'no'
}

/** What is learnt once for all keys of a pool: the server's clock, and how it means its fields. */
export class Lessons {
  readonly clock = new ServerClock()
  /** The processes that draw on the same limits, and the place of this one among them, from 0. */
  crew: { readonly size: number; readonly rank: number } = { size: 1, rank: 0 }
  readonly #meanings = new Map<string, FieldMeaning>()

  meaningOf(id: string): FieldMeaning {
    let meaning = this.#meanings.get(id)
    if (!meaning) {
      meaning = { resets: 'unknown', gradual: 'unknown', honest: 'unknown' }
      this.#meanings.set(id, meaning)
    }
    return meaning
  }
}
