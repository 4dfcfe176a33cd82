/** A request's body, as policies see it. */
export type RequestBody =
  | { readonly kind: 'none' }
  /** One JSON object, in UTF-8, no member of which stands there twice. */
  | { readonly kind: 'json'; readonly value: Readonly<Record<string, unknown>>; readonly bytes: number }
  /** Anything else: a stream, a form, another charset, no JSON… `why` is for the caller to read. */
  | { readonly kind: 'opaque'; readonly why: string }

export interface BodyHeaders {
  readonly type: string | undefined
  readonly coding: string | undefined
}

const OPAQUE = {
  stream: 'it is longer than 1 MiB, or its length is not said beforehand',
  coding: 'it is packed',
  form: 'it is a form',
  type: 'it does not say that it is JSON',
  charset: 'it is not in UTF-8',
  json: 'it is not one JSON object',
  members: 'a member stands in it twice',
} as const

/**
 * Reads a body as strictly as any service might: what two of them could read in two ways is opaque.
 *
 * @param bytes - `undefined` where it comes as a stream
 */
export function readRequestBody(bytes: Uint8Array | undefined, { type, coding }: BodyHeaders): RequestBody {
  const opaque = (why: keyof typeof OPAQUE): RequestBody => ({ kind: 'opaque', why: OPAQUE[why] })
  if (coding !== undefined && coding.trim() !== '' && coding.trim().toLowerCase() !== 'identity')
    return opaque('coding')
  const [media = '', ...parameters] = (type ?? '')
    .toLowerCase()
    .split(';')
    .map(each => each.trim())
  if (media.startsWith('multipart/') || media === 'application/x-www-form-urlencoded') return opaque('form')
  if (!isJson(media)) return opaque('type')
  if (!parameters.every(isUtf8)) return opaque('charset')
  if (bytes === undefined) return opaque('stream')
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return opaque('charset')
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return opaque('json')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return opaque('json')
  if (hasTwice(text)) return opaque('members')
  return { kind: 'json', value: value as Record<string, unknown>, bytes: bytes.byteLength }
}

/** Also where nothing is said, or that it is some text, as `fetch` says of a string: it is read as JSON, or not at all. */
function isJson(media: string): boolean {
  return ['', 'text/plain', 'application/json'].includes(media) || /^application\/[\w.-]+\+json$/.test(media)
}

function isUtf8(parameter: string): boolean {
  const [name, value = ''] = parameter.split('=').map(each => each.trim())
  return name !== 'charset' || /^"?utf-?8"?$/.test(value)
}

/** Whether a member of the outermost object of valid JSON stands there twice: parsers differ in which they take. */
function hasTwice(json: string): boolean {
  const names = new Set<string>()
  let depth = 0
  let isName = false
  for (let at = 0; at < json.length; at++) {
    const character = json[at]
    if (character === '"') {
      const end = endOfString(json, at)
      if (depth === 1 && isName) {
        const name = JSON.parse(json.slice(at, end)) as string
        if (names.has(name)) return true
        names.add(name)
        isName = false
      }
      at = end - 1
    } else if (character === '{' || character === '[') {
      depth++
      isName = depth === 1
    } else if (character === '}' || character === ']') depth--
    else if (character === ',' && depth === 1) isName = true
  }
  return false
}

/** Where the string that begins here ends, behind its quotation mark. */
function endOfString(json: string, from: number): number {
  let at = from + 1
  while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1
  return at + 1
}
