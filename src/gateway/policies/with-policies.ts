import type { PooledFetch } from 'fetch-keypool'
import type { PolicyConfig } from '../config/config.js'
import { checkPolicies } from '../config/schema.js'
import { problemResponse } from '../problem.js'
import { createPolicies } from './create-policies.js'
import { modelsNamed } from './models.js'
import { ask, type Visit } from './policy.js'
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
  async function policed(...[input, init]: Parameters<typeof globalThis.fetch>): Promise<Response> {
    const url = input instanceof Request ? input.url : String(input)
    const method = (init?.method ?? (input instanceof Request ? input.method : 'GET')).toUpperCase()
    const visit: Visit = {
      ...{ route: '', method, path: URL.canParse(url) ? new URL(url).pathname : url, address: '', tokens: [] },
      ...{ length: lengthOf(init?.body), models: [], spent: () => undefined, maxBody: Number.POSITIVE_INFINITY },
      ...{ fields: new Map(), answered: [], ended: [], priority: init?.priority ?? 'auto' },
      caller: typeof caller === 'string' ? caller : caller({ method, url }),
      async findModel() {
        const text =
          typeof init?.body === 'string'
            ? init.body
            : input instanceof Request && !init?.body
              ? await input.clone().text()
              : undefined
        visit.models = modelsNamed(text, undefined, visit.path)
        return undefined
      },
    }
    let isOver = false
    const answered = () => {
      for (const each of visit.answered.splice(0)) each()
    }
    const end = (tokens: number | undefined) => {
      if (isOver) return
      isOver = true
      for (const each of visit.ended) each(tokens)
    }
    const problem = await ask(policies, visit, init?.signal ?? undefined)
    if (problem) {
      answered()
      end(undefined)
      return problemResponse({ ...problem, headers: { ...Object.fromEntries(visit.fields), ...problem.headers } })
    }
    try {
      const response = await fetch(input, { ...init, priority: visit.priority } as RequestInit)
      if (visit.ended.length === 0 || !response.body) {
        end(undefined)
        return response
      }
      return new Response(watchTokens(response, visit, end), response)
    } catch (error) {
      end(undefined)
      throw error
    } finally {
      answered()
    }
  }
  Object.defineProperty(policed, 'name', { value: 'fetch', configurable: true })
  // What a pooled fetch has besides.
  const { pool, explain, close } = fetch as Partial<PooledFetch>
  return Object.assign(policed, pool && { pool, explain, close }) as unknown as Fetch
}

function lengthOf(body: BodyInit | null | undefined): number | undefined {
  if (typeof body === 'string') return new TextEncoder().encode(body).byteLength
  if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) return body.byteLength
  return body instanceof Blob ? body.size : undefined
}
