import type { Scope } from '../signals/provider.js'

/** Why nothing goes out, with whatever key. */
export interface Closure {
  readonly cause: 'rate-limit' | 'quota'
  readonly scope: Scope
  readonly since: number
  readonly until: number
  /** How long until one request may try all the same, in milliseconds: twice as long after each. `undefined`: none may. */
  readonly tryAfter: number | undefined
}

/** How long until the next key is tried that has not been refused yet, in milliseconds: a hundred of them take a quarter of a second. */
const FRESH_KEY_DELAY_MS = 2
/** How long at most until the next request tries where every key has been refused, in milliseconds. */
const MAX_DELAY_MS = 30_000

/** What a request may do: go with any key, with one that has not been refused yet, or wait. */
export type Admission = { readonly kind: 'any' | 'fresh' } | { readonly kind: 'wait'; readonly until: number }
const ANY: Admission = { kind: 'any' }

interface Gate {
  closure: Closure
  /** From when one request may try. */
  tryAt: number
  wait: number
  /** When one last did. */
  triedAt: number
}

/** Refusals that no other key helps against: of the address, of a resource, of all keys alike. */
export class Gates {
  /** By the name of what is closed; `''` is everything. */
  readonly #closed = new Map<string, Gate>()

  close(name: string, closure: Closure): void {
    const before = this.#closed.get(name)
    if (before && before.closure.until >= closure.until) return
    const wait = before?.wait ?? closure.tryAfter ?? Number.POSITIVE_INFINITY
    this.#closed.set(name, {
      closure: before ? { ...closure, since: before.closure.since } : closure,
      tryAt: before?.tryAt ?? closure.since + wait,
      wait,
      triedAt: before?.triedAt ?? closure.since,
    })
  }

  openAll(): void {
    this.#closed.clear()
  }

  /** Opens what was closed on suspicion only. */
  openSuspected(): void {
    for (const [name, { closure }] of this.#closed) if (closure.tryAfter !== undefined) this.#closed.delete(name)
  }

  /** What keeps requests of this part from going out at `now`. */
  closure(part: string, now: number): Closure | undefined {
    return this.#gate(part, now)?.closure
  }

  /** From when a request of this part may go, or try; `undefined`: at once. @param hasFreshKey - see `admit` */
  nextAt(part: string, now: number, hasFreshKey: () => boolean): number | undefined {
    const gate = this.#gate(part, now)
    return gate && this.#nextTry(gate, hasFreshKey).at
  }

  /**
   * Whether a request of this part may go: then it is the one that tries, with a key that has not been refused where
   * `fresh`.
   *
   * @param hasFreshKey - whether a key is ready that has not been refused yet: a suspicion slows a walk over such keys down, and
   *   never stops it
   */
  admit(part: string, now: number, hasFreshKey: () => boolean): Admission {
    const gate = this.#gate(part, now)
    if (!gate) return ANY
    const { at, fresh } = this.#nextTry(gate, hasFreshKey)
    if (at > now) return { kind: 'wait', until: at }
    gate.triedAt = now
    if (!fresh) gate.wait = Math.min(MAX_DELAY_MS, gate.wait * 2)
    gate.tryAt = now + gate.wait
    return fresh ? { kind: 'fresh' } : ANY
  }

  #nextTry({ closure, tryAt, triedAt }: Gate, hasFreshKey: () => boolean): { at: number; fresh: boolean } {
    const fresh = closure.tryAfter !== undefined && hasFreshKey()
    const at = fresh ? Math.min(tryAt, triedAt + FRESH_KEY_DELAY_MS) : tryAt
    return { at: Math.min(at, closure.until), fresh }
  }

  #gate(part: string, now: number): Gate | undefined {
    const all = this.#at('', now)
    const own = part === '' ? undefined : this.#at(part, now)
    return all && own ? (all.closure.until >= own.closure.until ? all : own) : (all ?? own)
  }

  #at(name: string, now: number): Gate | undefined {
    const gate = this.#closed.get(name)
    if (!gate) return undefined
    if (gate.closure.until > now) return gate
    this.#closed.delete(name)
    return undefined
  }
}
