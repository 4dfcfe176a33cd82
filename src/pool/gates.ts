import type { RefusalCause } from '../signals/outcome.js'
import type { Scope } from '../signals/provider.js'

/** Why nothing goes out, with whatever key. */
export interface Closure {
  readonly cause: RefusalCause
  readonly scope: Scope
  /** The name of what is closed; `null`: everything. */
  readonly name: string | null
  readonly since: number
  readonly until: number
  /** How long until one request may try all the same, in milliseconds: twice as long after each. `undefined`: none may. */
  readonly tryAfter: number | undefined
  /** The keys that were refused alike: what shows that it is more than one key's limit. */
  readonly keyIds: readonly string[]
}

/** How long until the next key is tried that has not been refused yet, in milliseconds: a hundred of them take a quarter of a second. */
const FRESH_KEY_DELAY_MS = 2
/** How long something is closed where nobody says for how long, at first, in milliseconds. */
const FIRST_GUESS_MS = 1_000
/** How long at most until the next request tries where every key has been refused, in milliseconds. */
const MAX_DELAY_MS = 30_000
/**
 * When the time is over that a server has named, one request goes first. How long the others wait for what comes of it, in
 * milliseconds: refusals come fast, and an answer that takes longer is being worked on.
 */
export const FIRST_TRY_MS = 1_000
/** How many keys are remembered, and listed, as evidence at most. */
export const MOST_KEYS = 100
/** How many closures are kept at most: names of resources may come from callers. */
const MOST_GATES = 100

/** What a request may do: go with any key, with one that has not been refused yet, or wait. */
export type Admission = { readonly kind: 'any' | 'fresh' } | Closed
/** It must wait, and why: for a time, or for the one request that tries, whose answer may come before that time. */
export interface Closed {
  readonly kind: 'wait'
  readonly until: number
  readonly mayOpenEarlier: boolean
}
const ANY: Admission = { kind: 'any' }

interface Gate {
  closure: Closure
  /** When it was last closed. */
  closedAt: number
  /** From when one request may try. */
  tryAt: number
  wait: number
  /** When one last did. */
  triedAt: number
  /** When the first request went after the end; `undefined`: none has. */
  firstTriedAt: number | undefined
}

/** Refusals that no other key helps against: of the address, of a resource, of all keys alike. */
export class Gates {
  /** By the name of what is closed; `''` is everything. */
  readonly #closed = new Map<string, Gate>()

  close(name: string, closure: Closure): void {
    const before = this.#closed.get(name)
    const isOver = !before || before.closure.until <= closure.since
    const known = isOver ? [] : before.closure.keyIds
    const keyIds = [...new Set([...known, ...closure.keyIds])].slice(0, MOST_KEYS)
    if (before && before.closure.until >= closure.until) {
      before.closure = { ...before.closure, keyIds }
      return
    }
    if (!before && this.#closed.size >= MOST_GATES) this.#makeRoom(closure.since)
    const wait = before
      ? Math.min(Math.max(MAX_DELAY_MS, before.wait), isOver ? 2 * before.wait : before.wait)
      : (closure.tryAfter ?? Number.POSITIVE_INFINITY)
    this.#closed.set(name, {
      closure: { ...closure, keyIds, since: before?.closure.since ?? closure.since },
      closedAt: closure.since,
      tryAt: isOver ? closure.since + wait : before.tryAt,
      wait,
      triedAt: before?.triedAt ?? closure.since,
      firstTriedAt: undefined,
    })
  }

  /**
   * How long to close it where nobody says it, in milliseconds: twice as long after each refusal of a request that left when
   * it had been closed before.
   */
  guess(name: string, sentAt: number, now: number): number {
    const before = this.#closed.get(name)
    if (!before) return FIRST_GUESS_MS
    const { closedAt, closure } = before
    return sentAt >= closedAt
      ? Math.min(MAX_DELAY_MS, 2 * (closure.until - closedAt))
      : Math.max(0, closure.until - now)
  }

  /** What was closed until a time that is over, where a request that left then went first, or after that one. */
  closureTriedBy(name: string, sentAt: number): Closure | undefined {
    const gate = this.#closed.get(name)
    return gate?.firstTriedAt !== undefined && sentAt >= gate.firstTriedAt ? gate.closure : undefined
  }

  openAll(): void {
    this.#closed.clear()
  }

  /**
   * A request has passed: what was closed on suspicion only is open again, and so is whatever it belonged to and left late
   * enough to show.
   *
   * @param names - of what it belonged to, besides everything
   */
  passed(names: readonly string[], sentAt: number): void {
    for (const [name, { closure, firstTriedAt }] of this.#closed) {
      const isShown = firstTriedAt !== undefined && sentAt >= firstTriedAt && (name === '' || names.includes(name))
      if (closure.tryAfter !== undefined || isShown) this.#closed.delete(name)
    }
  }

  /** What keeps requests of these names from going out at `now`. */
  closure(names: readonly string[], now: number): Closure | undefined {
    const closure = this.#gate(names, now)?.closure
    return closure && closure.until > now ? closure : undefined
  }

  /** For how long a request may not go, nor try; `undefined`: it may. @param hasFreshKey - see `admit` */
  closed(names: readonly string[], now: number, hasFreshKey: () => boolean): Closed | undefined {
    const gate = this.#gate(names, now)
    const next = gate && this.#nextTry(gate, now, hasFreshKey)
    return next && next.at > now ? closedUntil(next) : undefined
  }

  /**
   * Whether a request of these names may go, with a key that has not been refused where `fresh`. When it goes, `goes` is to be
   * called: it is the one that tries.
   *
   * @param hasFreshKey - whether a key is ready that has not been refused yet: a suspicion slows a walk over such keys down, and
   *   never stops it
   */
  admit(names: readonly string[], now: number, hasFreshKey: () => boolean): Admission {
    const gate = this.#gate(names, now)
    if (!gate) return ANY
    const next = this.#nextTry(gate, now, hasFreshKey)
    if (next.at > now) return closedUntil(next)
    return next.fresh ? { kind: 'fresh' } : ANY
  }

  /** A request goes that was admitted. */
  goes(names: readonly string[], now: number, admission: Admission): void {
    const gate = this.#gate(names, now)
    if (!gate) return
    gate.triedAt = now
    if (gate.closure.until <= now) {
      gate.firstTriedAt = now
      return
    }
    if (admission.kind !== 'fresh') gate.wait = Math.min(MAX_DELAY_MS, gate.wait * 2)
    gate.tryAt = now + gate.wait
  }

  #nextTry({ closure, tryAt, triedAt, firstTriedAt }: Gate, now: number, hasFreshKey: () => boolean): Try {
    if (closure.until <= now) {
      const isTried = firstTriedAt !== undefined
      return { at: isTried ? firstTriedAt + FIRST_TRY_MS : now, fresh: false, isTried }
    }
    const fresh = closure.tryAfter !== undefined && hasFreshKey()
    const at = fresh ? Math.min(tryAt, triedAt + FRESH_KEY_DELAY_MS) : tryAt
    return { at: Math.min(at, closure.until), fresh, isTried: false }
  }

  /** The gate that is closed for longest. */
  #gate(names: readonly string[], now: number): Gate | undefined {
    let longest = this.#at('', now)
    for (const name of names) {
      const gate = name === '' ? undefined : this.#at(name, now)
      if (gate && (!longest || gate.closure.until > longest.closure.until)) longest = gate
    }
    return longest
  }

  #at(name: string, now: number): Gate | undefined {
    const gate = this.#closed.get(name)
    if (!gate) return undefined
    if (gate.closure.until > now) return gate
    if (gate.firstTriedAt === undefined || gate.firstTriedAt + FIRST_TRY_MS > now) return gate
    this.#closed.delete(name)
    return undefined
  }

  #makeRoom(now: number): void {
    for (const [name, { closure }] of this.#closed) if (closure.until <= now) this.#closed.delete(name)
    const [oldest] = this.#closed.keys()
    if (this.#closed.size >= MOST_GATES) this.#closed.delete(oldest!)
  }
}

/** When the next request may try, with which keys, and whether one is trying. */
interface Try {
  readonly at: number
  readonly fresh: boolean
  readonly isTried: boolean
}

function closedUntil({ at, isTried }: Try): Closed {
  return { kind: 'wait', until: at, mayOpenEarlier: isTried }
}
