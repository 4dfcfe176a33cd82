/** What `new Response()` can't be told: these belong to responses that came from a network. */
export interface ResponseFacts {
  readonly statusText: string
  readonly url: string
  readonly redirected: boolean
  readonly type: ResponseType
}

const NULL_BODY_STATUSES: ReadonlySet<number> = new Set([101, 103, 204, 205, 304])

/** Whether a response with this status has no body by definition (Fetch standard, "null body status"). */
export function hasNullBody(status: number): boolean {
  return NULL_BODY_STATUSES.has(status)
}

/** Whether `new Response()` accepts a status at all: it takes 200 to 599 only (Fetch standard, "initialize a response"). */
export function isConstructible(status: number): boolean {
  return status >= 200 && status <= 599
}

/** The facts of a response, read off it. */
export function factsOf({ statusText, url, redirected, type }: Response): ResponseFacts {
  return { statusText, url, redirected, type }
}

/**
 * Makes a response say where it came from; its clones say it too.
 *
 * @param headers - what its `headers` are to be: those of the network, which can't be changed and may hold values that the
 *   constructor refuses, or headers that were made like them
 */
export function withFacts(response: Response, facts: ResponseFacts, headers: Headers): Response {
  // A response of another implementation has a `clone` of its own.
  const { clone } = response
  const define = (value: unknown) => ({ value, configurable: true })
  Object.defineProperties(response, {
    statusText: define(facts.statusText),
    url: define(facts.url),
    redirected: define(facts.redirected),
    type: define(facts.type),
    headers: define(headers),
    clone: {
      configurable: true,
      writable: true,
      value: () => withFacts(clone.call(response), facts, headers),
    },
  })
  return response
}

/** What code that handles a caught error may write onto its `response`, as HTTP clients that were not made for fetch do. */
const WRITABLE = ['status', 'statusText', 'headers', 'url', 'body', 'ok', 'type', 'redirected'] as const

/** Lets a response be written to as an ordinary object can: the platform's own properties have getters only. */
export function makeWritable(response: Response): Response {
  for (const name of WRITABLE) {
    const define = (value: unknown) =>
      Object.defineProperty(response, name, { value, configurable: true, writable: true })
    Object.defineProperty(response, name, {
      configurable: true,
      get: ownOrInherited(response, name),
      set: define,
    })
  }
  return response
}

/** Reads a property as it is now, for a getter that stands before it. */
function ownOrInherited(response: Response, name: (typeof WRITABLE)[number]): () => unknown {
  const own = Object.getOwnPropertyDescriptor(response, name)
  if (own) return own.get ?? (() => own.value)
  const prototype = Object.getPrototypeOf(response)
  return () => Reflect.get(prototype, name, response)
}

/** Makes headers that refuse to be changed, as those of fetched responses do (Fetch standard, headers guard "immutable"). */
export function immutableHeaders(fields: readonly (readonly [name: string, value: string])[]): Headers {
  const headers = new Headers(fields as [string, string][])
  return Object.setPrototypeOf(headers, immutableLike(Object.getPrototypeOf(headers)))
}

/** By the prototype of the platform's headers: other code may have put another class in their place meanwhile. */
const immutablePrototypes = new WeakMap<object, object>()

function immutableLike(prototype: object): object {
  const known = immutablePrototypes.get(prototype)
  if (known) return known
  const refuses = {
    configurable: true,
    writable: true,
    value: () => {
      throw new TypeError('immutable')
    },
  }
  const made = Object.create(prototype, { append: refuses, delete: refuses, set: refuses })
  immutablePrototypes.set(prototype, made)
  return made
}
