import type { Problem } from '../problem.js'
import { network } from '../proxy/address.js'
import type { Tallies } from './counters.js'
import type { RequestBody } from './request-body.js'

/**
 * What a request took of tokens: so many, as the answer says; or what can't be known, and was at least so much: no usage was
 * told, or its caller went before that.
 */
export type Spent =
  | { readonly kind: 'known'; readonly tokens: number }
  | { readonly kind: 'unknown'; readonly atLeast: number }

export const NOTHING_SPENT: Spent = { kind: 'known', tokens: 0 }

/** A request, as policies see it. */
export interface Visit {
  /** The route's path: `'/openai'`. */
  readonly route: string
  readonly method: string
  /** The path behind the route, without the query. */
  readonly path: string
  /** All that a service may read the path as. */
  readonly readings: readonly string[]
  /** The caller's address, as far as proxies are trusted. */
  readonly address: string
  /** The tokens that the caller has shown, in whatever place. */
  readonly tokens: readonly string[]
  /** How long the body is said to be, in bytes; `undefined`: it is not said. */
  readonly length: number | undefined
  /** The body, once it was asked for; `undefined` till then. */
  body: RequestBody | undefined
  /** All models that are named in it, in the path and the query; known with the body. */
  models: readonly string[]
  /** Why it can't be known which model the service will take; `undefined`: it can. */
  unknownModel: string | undefined
  /** Lets the body come in, as far as it is to be looked into. */
  readBody(): Promise<Problem | undefined>
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
  /** Called once when it is over, with what it took. */
  readonly ended: ((spent: Spent) => void)[]
}

/** One thing that is asked of requests, in order. */
export interface Policy {
  readonly name: string
  /** The routes that it is for; `undefined`: all. */
  readonly routes: readonly string[] | undefined
  /** Whether it asks who somebody is. */
  readonly authenticates?: boolean
  /** What decides who may see what; `undefined`: it decides nothing of that. */
  readonly access?: unknown
  /** Whether it wants to see the body. */
  readonly needsBody?: boolean
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
    if (policy.needsBody && !visit.body) {
      const problem = await visit.readBody()
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
      return caller === '' ? `address ${network(address)}` : `caller ${caller}`
    case 'address':
      return `address ${network(address)}`
    case 'route':
      return `route ${route}`
    case 'all':
      return ''
  }
}
