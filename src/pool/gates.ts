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

/** Each key that turns out to have a limit of its own opens the gate: so long at most until the next is tried, in milliseconds. */
const LONGEST_WAIT = 1_000

interface Gate {
  closure: Closure
  /** From when one request may try. */
  tryAt: number
  wait: number
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

  /** From when a request of this part may go, or try; `undefined`: at once. */
  nextAt(part: string, now: number): number | undefined {
    const gate = this.#gate(part, now)
    return gate && Math.min(gate.tryAt, gate.closure.until)
  }

  /** Until when a request of this part is to wait; `undefined`: it may go, and then it is the one that tries. */
  admit(part: string, now: number): number | undefined {
    const gate = this.#gate(part, now)
    if (!gate) return undefined
    if (gate.tryAt > now) return Math.min(gate.tryAt, gate.closure.until)
    gate.wait = Math.min(LONGEST_WAIT, gate.wait * 1.5)
    gate.tryAt = now + gate.wait
    return undefined
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
