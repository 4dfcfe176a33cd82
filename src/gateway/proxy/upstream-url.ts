import { pathReadings } from './path-readings.js'
import type { Route } from './route.js'

/** Where a request goes. */
export interface Destination {
  readonly url: URL
  /** The path within the route, as it is sent: what is allowed is what is asked for. */
  readonly path: string
  /** All that the service may read that path as. */
  readonly readings: readonly string[]
}

/** `undefined` where the path would lead out of what the route is for, or could be read so. */
export function destinationOf({ base }: Pick<Route, 'base'>, path: string, search: string): Destination | undefined {
  let url: URL
  try {
    url = new URL(base.href + path + search)
  } catch {
    // Not a URL: `http://host` and then `:x`, say.
    return undefined
  }
  if (url.origin !== base.origin) return undefined
  const isWithin = base.path === '' || url.pathname === base.path || url.pathname.startsWith(`${base.path}/`)
  if (!isWithin) return undefined
  const within = url.pathname.slice(base.path.length)
  const readings = pathReadings(within)
  return readings && { url, path: within, readings }
}
