import { KeypoolError } from 'fetch-keypool'
import { InvalidOptionError } from '../../errors.js'
import { type Problem, problemResponse } from '../problem.js'
import type { Route } from '../proxy/route.js'

/** What an operator wants done to the keys of a route. */
export interface Change {
  readonly route: string
  readonly action: unknown
  readonly id: string | undefined
  /** With `add`: the key. */
  readonly key: unknown
}

const UNKNOWN: Problem = { status: 404, type: 'not-found', title: 'There is no such thing here' }

/** Does it. @returns what the keys are then, or why it was not done */
export function change(routes: ReadonlyMap<string, Route>, { route: path, action, id, key }: Change): Response {
  const route = routes.get(path)
  if (!route) return problemResponse({ ...UNKNOWN, title: `There is no route ${path}` })
  const doIt = doing(action, id, key)
  if (!doIt) {
    const title = "'action' is add (with 'key'), remove, disable, enable (with 'id') or reset"
    return problemResponse({ status: 400, type: 'invalid', title })
  }
  try {
    doIt(route)
    return Response.json({ keys: route.fetch.pool.keys() })
  } catch (error) {
    if (KeypoolError.is(error, 'ERR_UNKNOWN_KEY')) return problemResponse({ ...UNKNOWN, title: error.message })
    if (KeypoolError.is(error, 'ERR_INVALID_OPTION')) {
      return problemResponse({ status: 400, type: 'invalid', title: error.message })
    }
    throw error
  }
}

function doing(action: unknown, id: string | undefined, key: unknown): ((route: Route) => unknown) | undefined {
  switch (action) {
    case 'list':
      return () => {}
    case 'add':
      return ({ fetch, origins }) => {
        const { baseUrl } = (key ?? {}) as { baseUrl?: unknown }
        if (baseUrl !== undefined && !isWithin(baseUrl, origins)) {
          throw new InvalidOptionError('key.baseUrl', `a URL of ${origins.join(' or ')}`, 'another')
        }
        return fetch.pool.add(key as string)
      }
    case 'remove':
      return ({ fetch }) => fetch.pool.remove(id ?? '')
    case 'disable':
      return ({ fetch }) => fetch.pool.disable(id ?? '')
    case 'enable':
      return ({ fetch }) => fetch.pool.enable(id ?? '')
    case 'reset':
      return ({ fetch }) => fetch.pool.reset(id)
    default:
      return undefined
  }
}

function isWithin(url: unknown, origins: readonly string[]): boolean {
  return typeof url === 'string' && URL.canParse(url) && origins.includes(new URL(url).origin)
}
