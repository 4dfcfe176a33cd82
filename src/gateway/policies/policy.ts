import type { Problem } from '../problem.js'
import type { Tallies } from './counters.js'

/** A request, as policies see it. */
export interface Visit {
  /** The route's path: `'/openai'`. */
  readonly route: string
  readonly method: string
  /** The path behind the route, without the query. */
  readonly path: string
  /** The caller's address, as far as proxies are trusted. */
  readonly address: string
  /** The tokens that the caller has shown, in whatever place. */
  readonly tokens: readonly string[]
  /** How long the body is said to be, in bytes; `undefined`: it is not said. */
  readonly length: number | undefined
  /** The models that the body and the path name. */
  models: readonly string[]
  /** Finds the models out, for which the body must have come in. */
  findModel(): Promise<Problem | undefined>
  /** Who it is, once a policy of authentication has said so; else `''`. */
  caller: string
  /** The place in line. */
  priority: 'high' | 'auto' | 'low'
  /** The most that the body may hold, in bytes. */
  maxBody: number
  /** Fields for the answer, whatever it is. */
  readonly fields: Map<string, string>
  /** Called when the answer's headers are there, or it was not served. */
  readonly answered: (() => void)[]
  /** The tokens that it has taken so far, as far as the answer tells. */
  spent: () => number | undefined
  /** Called when it is over, with the tokens that it took, as far as the answer tells. */
  readonly ended: ((tokens: number | undefined) => void)[]
}

/** One thing that is asked of requests, in order. */
export interface Policy {
  readonly name: string
  /** The routes that it is for; `undefined`: all. */
  readonly routes: readonly string[] | undefined
  /** Whether it asks who somebody is. */
  readonly authenticates?: boolean
  /** Whether it wants to know the models. */
  readonly needsModel?: boolean
  /** Whether it counts tokens. */
  readonly needsTokens?: boolean
  /** The most that a body may hold, in bytes. */
  readonly maxBody?: number
  /** What it counts, where that is to outlive the process. */
  readonly tallies?: Tallies
  /** `undefined`: it may go on; else, or if that settles so, why not. */
  check(visit: Visit, signal?: AbortSignal): Problem | undefined | Promise<Problem | undefined>
}

/** Asks all policies in their order, until one refuses. */
export async function ask(
  policies: readonly Policy[],
  visit: Visit,
  signal?: AbortSignal,
): Promise<Problem | undefined> {
  for (const policy of policies) {
    if (policy.routes && !policy.routes.includes(visit.route)) continue
    if (policy.needsModel) {
      const problem = await visit.findModel()
      if (problem) return problem
    }
    const verdict = policy.check(visit, signal)
    const problem = verdict instanceof Promise ? await verdict : verdict
    if (problem) return { ...problem, policy: policy.name }
  }
  return undefined
}

/** Whom a limit counts a request for. */
export function counted(by: 'caller' | 'address' | 'route' | 'all', { caller, address, route }: Visit): string {
  switch (by) {
    case 'caller':
      return caller === '' ? `address ${address}` : `caller ${caller}`
    case 'address':
      return `address ${address}`
    case 'route':
      return `route ${route}`
    case 'all':
      return ''
  }
}
