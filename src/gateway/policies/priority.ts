import type { PriorityConfig } from '../config/config.js'
import type { Policy } from './policy.js'

/** Those of one caller that wait for their turn. */
interface Line {
  readonly waiting: Set<() => void>
}

/** The place in line by caller, and turns, so that one caller's thousand requests don't stand before another's one. */
export function priority(
  name: string,
  routes: readonly string[] | undefined,
  { high = [], low = [], slots }: PriorityConfig,
): Policy {
  /** By route and caller, in the order of turns: whose turn was goes to the end. */
  const lines = new Map<string, Map<string, Line>>()
  const busy = new Map<string, number>()

  function leave(route: string): void {
    const turns = lines.get(route)
    const next = turns?.entries().next().value
    if (!turns || !next) {
      busy.set(route, (busy.get(route) ?? 1) - 1)
      return
    }
    const [caller, line] = next
    const admit = line.waiting.values().next().value!
    line.waiting.delete(admit)
    turns.delete(caller)
    if (line.waiting.size > 0) turns.set(caller, line)
    admit()
  }

  function turn(route: string, caller: string, signal: AbortSignal | undefined): Promise<void> | undefined {
    const used = busy.get(route) ?? 0
    if (used < slots!) {
      busy.set(route, used + 1)
      return undefined
    }
    return new Promise((resolve, reject) => {
      const turns = lines.get(route) ?? new Map<string, Line>()
      lines.set(route, turns)
      const line = turns.get(caller) ?? { waiting: new Set() }
      turns.set(caller, line)
      const aborted = () => {
        line.waiting.delete(admit)
        if (line.waiting.size === 0 && turns.get(caller) === line) turns.delete(caller)
        reject(signal!.reason)
      }
      const admit = () => {
        signal?.removeEventListener('abort', aborted)
        resolve()
      }
      line.waiting.add(admit)
      if (signal?.aborted) aborted()
      else signal?.addEventListener('abort', aborted, { once: true })
    })
  }

  return {
    ...{ name, routes },
    check(visit, signal) {
      const { caller, address, route } = visit
      if (high.includes(caller)) visit.priority = 'high'
      else if (low.includes(caller)) visit.priority = 'low'
      if (slots === undefined || visit.priority === 'high') return undefined
      const admitted = turn(route, caller || address, signal)
      const go = () => {
        visit.answered.push(() => leave(route))
        return undefined
      }
      return admitted ? admitted.then(go) : go()
    },
  }
}
