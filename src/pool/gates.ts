import type { Scope } from '../signals/provider.js'

/** Why nothing goes out, with whatever key. */
export interface Closure {
  readonly cause: 'rate-limit' | 'quota'
  readonly scope: Scope
  readonly since: number
  readonly until: number
}

/** Refusals that no other key helps against: of the address, of a resource, of all keys alike. */
export class Gates {
  /** By the name of what is closed; `''` is everything. */
  readonly #closed = new Map<string, Closure>()

  close(name: string, closure: Closure): void {
    const before = this.#closed.get(name)
    if (before && before.until >= closure.until) return
    this.#closed.set(name, before ? { ...closure, since: before.since } : closure)
  }

  openAll(): void {
    this.#closed.clear()
  }

  /** What keeps a request of this part from going out at `now`. */
  closure(part: string, now: number): Closure | undefined {
    const all = this.#at('', now)
    const own = part === '' ? undefined : this.#at(part, now)
    return all && own ? (all.until >= own.until ? all : own) : (all ?? own)
  }

  #at(name: string, now: number): Closure | undefined {
    const closure = this.#closed.get(name)
    if (!closure) return undefined
    if (closure.until > now) return closure
    this.#closed.delete(name)
    return undefined
  }
}
