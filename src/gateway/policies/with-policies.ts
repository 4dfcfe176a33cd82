import type { PooledFetch } from 'fetch-keypool'
import { isRequest } from '../../platform.js'
import type { PolicyConfig } from '../config/config.js'
import { checkPolicies } from '../config/schema.js'
import { type Problem, problemResponse } from '../problem.js'
import { CallWatch, type Watched } from '../proxy/call-watch.js'
import { pathReadings } from '../proxy/path-readings.js'
import { BodyTooLarge } from '../proxy/take-body.js'
import { readCall } from './call-in-code.js'
import { createPolicies } from './create-policies.js'
import { modelsNamed } from './models.js'
import { ask, NOTHING_SPENT, type Spent, type Visit } from './policy.js'
import { watchTokens } from './watch-tokens.js'

/** The policies that make sense where there is no caller over HTTP. */
export type CodePolicy = Exclude<PolicyConfig, { readonly authentication: unknown } | { readonly addresses: unknown }>

export interface WithPoliciesOptions {
  /** Who calls, for limits and budgets of each caller: a name, or a function of the request. @default everyone is one */
  caller?: string | ((request: { readonly method: string; readonly url: string }) => string) | undefined
}

/**
 * The gateway's policies before a `fetch` in code: budgets, limits, models, paths and priorities. A request that is refused
 * gets the answer that the gateway would give (RFC 9457), and is not sent. A pooled fetch keeps its `pool`, `explain` and
 * `close`.
 *
 * @example
 * const fetch = withPolicies(pooled, [{ name: 'budget', budget: { tokens: 1_000_000, per: 'day' } }])
 * @throws InvalidOptionError
 */
export function withPolicies<Fetch extends typeof globalThis.fetch>(
  fetch: Fetch,
  configs: readonly CodePolicy[],
  { caller = '' }: WithPoliciesOptions = {},
): Fetch {
  const policies = createPolicies(checkPolicies(configs))
  const maxBody = Math.min(Number.POSITIVE_INFINITY, ...policies.map(each => each.maxBody ?? Number.POSITIVE_INFINITY))
  const looks = Number.isFinite(maxBody) || policies.some(({ needsBody }) => needsBody)
  const calls = new CallWatch()
  if ('pool' in fetch) calls.observe(fetch as unknown as PooledFetch)

  async function policed(...[input, init]: Parameters<typeof globalThis.fetch>): Promise<Response> {
    const call = await readCall(input, init, looks)
    const { url, method, length, body } = call
    const { pathname, search } = URL.canParse(url) ? new URL(url) : { pathname: url, search: '' }
    const readings = pathReadings(pathname)
    const named = modelsNamed({ method, paths: readings ?? [], search, body, provider: undefined })
    const visit: Visit = {
      ...{
        route: '',
        method,
        path: pathname,
        readings: readings ?? [],
        address: '',
        tokens: [],
        length,
        body,
        maxBody,
      },
      ...{ models: named.models, unknownModel: named.unknown, readBody: async () => undefined },
      ...{ fields: new Map(), answered: [], ended: [], priority: init?.priority ?? 'auto' },
      caller: typeof caller === 'string' ? caller : caller({ method, url }),
    }
    const watched: Watched = { call: undefined }
    const answered = () => {
      for (const each of visit.answered.splice(0)) each()
    }
    const end = (spent: Spent) => {
      answered()
      for (const each of visit.ended.splice(0)) each(spent)
    }
    const refuse = (problem: Problem) => {
      end(NOTHING_SPENT)
      return problemResponse({ ...problem, headers: { ...Object.fromEntries(visit.fields), ...problem.headers } })
    }
    const signal = init?.signal ?? (isRequest(input) ? input.signal : undefined)
    const problem = readings ? await ask(policies, visit, signal) : BAD_PATH
    if (problem) return refuse(problem)
    try {
      const response = await calls.run(watched, () => call.send(fetch, maxBody, visit.priority))
      answered()
      if (visit.ended.length === 0) return response
      return watchTokens(response, { method, fromCache: watched.call?.fromCache ?? false }, end).response
    } catch (error) {
      if (isTooLarge(error)) return refuse(TOO_LARGE)
      // What was sent, and given up, may have been served all the same.
      const isSent = watched.call ? watched.call.keyId !== null : signal?.aborted
      end(isSent ? { kind: 'unknown', atLeast: 0 } : NOTHING_SPENT)
      throw error
    }
  }
  Object.defineProperty(policed, 'name', { value: 'fetch', configurable: true })
  // What a pooled fetch has besides.
  const { pool, explain, close } = fetch as Partial<PooledFetch>
  return Object.assign(policed, pool && { pool, explain, close }) as unknown as Fetch
}

const BAD_PATH: Problem = { status: 400, type: 'bad-path', title: 'The path might lead elsewhere' }
const TOO_LARGE: Problem = { status: 413, type: 'body-too-large', title: 'The body is too large' }

function isTooLarge(error: unknown): boolean {
  return error instanceof BodyTooLarge || (error as Error | undefined)?.cause instanceof BodyTooLarge
}
