import { describe } from '../describe.js'
import { InvalidOptionError } from '../errors.js'
import type { Call } from '../http/call.js'
import type { LimitedBy } from '../signals/provider.js'

/** How much of a body is searched for a model's name, at its beginning and at its end, in characters. */
const SEARCHED = 64 * 1024
const LONGEST_NAME = 200
const IN_BODY = /(?<!\\)"model"\s*:\s*"((?:[^"\\]|\\.){1,200})"/
const IN_PATH = /\/(?:models?|deployments|engines)\/([^/:?#]+)/
/** Parts of a path that name one thing of many: numbers, hexadecimal and other long ids. */
const ID = /^(?:\d+|[0-9a-f-]{16,}|(?=.*\d)[\w-]{20,})$/i

/** The name of what a call shares its limits with, of all that one key may ask; `''`: with everything. */
export function partitions(scope: LimitedBy): (call: Call) => string {
  switch (scope) {
    case 'key':
      return () => ''
    case 'model':
      return modelOf
    case 'route':
      return routeOf
  }
  return call => {
    const name = scope({ method: call.method, url: call.url, body: bodyText(call) ?? null })
    if (name !== undefined && name !== null && typeof name !== 'string') {
      throw new InvalidOptionError('scope', 'a function that gives a name: a string', describe(name))
    }
    return (name ?? '').slice(0, LONGEST_NAME)
  }
}

function modelOf(call: Call): string {
  return modelNamed(bodyText(call), call.url)
}

/** The model that a body, or else a path, names; `''`: none. */
export function modelNamed(text: string | undefined, url: string): string {
  if (text !== undefined) {
    const found =
      IN_BODY.exec(text.slice(0, SEARCHED)) ?? (text.length > SEARCHED ? IN_BODY.exec(text.slice(-SEARCHED)) : null)
    if (found) return found[1]!
  }
  const inPath = IN_PATH.exec(url)?.[1]
  return inPath === undefined ? '' : inPath.slice(0, LONGEST_NAME)
}

function routeOf({ method, url }: Call): string {
  const path = new URL(url).pathname
    .split('/')
    .map(part => (ID.test(part) ? '*' : part))
    .join('/')
  return `${method} ${path}`.slice(0, LONGEST_NAME)
}

/** A body that is there as text; `undefined` for none, and for streams and forms, which are not to be read here. */
function bodyText({ body }: Call): string | undefined {
  if (body.kind === 'value') {
    const { value } = body
    if (typeof value === 'string') return value
    if (value instanceof Uint8Array) return decode(value)
  }
  if (body.kind === 'request' && body.kept.bytes) return decode(body.kept.bytes)
  return undefined
}

/** The beginning and the end of a body that is too long to be searched in whole. */
function decode(bytes: Uint8Array): string {
  const decoder = new TextDecoder()
  if (bytes.length <= 2 * SEARCHED) return decoder.decode(bytes)
  return decoder.decode(bytes.subarray(0, SEARCHED)) + decoder.decode(bytes.subarray(-SEARCHED))
}
