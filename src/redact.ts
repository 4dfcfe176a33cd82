import { SHORTEST_SECRET } from './describe.js'
import { isError } from './platform.js'
import type { Secret } from './secret.js'

const MARK = '[secret]'
/** How deep into an error's own objects a value is looked for. */
const DEPTH = 5

/** All ways in which a value may stand in a text or a URL; made once for each. */
export function formsOf(secret: Secret): readonly string[] {
  const known = FORMS.get(secret)
  if (known) return known
  const forms = makeForms(secret.reveal())
  FORMS.set(secret, forms)
  return forms
}

const FORMS = new WeakMap<Secret, readonly string[]>()

function makeForms(value: string): string[] {
  if (value.length < SHORTEST_SECRET) return []
  const encoded = encodeURIComponent(value)
  const form = new URLSearchParams({ k: value }).toString().slice(2)
  const forms = [value, encoded, form, encodeURIComponent(encoded), encodeURIComponent(form)]
  // Some write percent-encodings in small letters.
  const inUrls = [...forms, ...forms.map(each => each.replace(/%[\dA-F]{2}/g, code => code.toLowerCase()))]
  // So do some with the whole text.
  const small = [value.toLowerCase(), encoded.toLowerCase()]
  const all = [
    ...inUrls,
    ...small,
    ...inJson(value),
    ...inHtml(value),
    ...escaped(value),
    ...inBase64(value),
    ...inBase64(encoded),
    inHex(value),
  ]
  // The longest first: another may be part of it.
  return [...new Set(all)].sort((a, b) => b.length - a.length)
}

/** Some escape slashes. */
function inJson(value: string): string[] {
  const escaped = JSON.stringify(value).slice(1, -1)
  return [escaped, escaped.replaceAll('/', '\\/')]
}

/** With the characters escaped that must be, and with those that some escape besides. */
function inHtml(value: string): string[] {
  const named: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  const short = value.replace(/[&<>"]/g, character => named[character]!)
  return [short, short.replaceAll("'", '&#39;'), short.replaceAll('/', '&#x2F;'), short.replaceAll('/', '&#47;')]
}

/** How a character may be written that is no letter and no digit: in URLs, JSON and HTML. */
const ESCAPES: readonly ((code: number) => string)[] = [
  code => `%${code.toString(16).toUpperCase()}`,
  code => `\\u${code.toString(16).padStart(4, '0')}`,
  code => `\\u${code.toString(16).toUpperCase().padStart(4, '0')}`,
  code => `&#x${code.toString(16)};`,
  code => `&#x${code.toString(16).toUpperCase()};`,
  code => `&#${code};`,
]

/** Libraries differ in what they escape: all such characters, all but one, or one of them only. */
function escaped(value: string): string[] {
  const special = [...new Set(value.match(/[^\w.~-]/g) ?? [])].slice(0, 8)
  const sets = [special, ...special.flatMap(one => [[one], special.filter(each => each !== one)])]
  return ESCAPES.flatMap(write =>
    sets.map(set => value.replace(/[^\w.~-]/g, each => (set.includes(each) ? write(each.charCodeAt(0)) : each))),
  )
}

function inHex(value: string): string {
  return Array.from(new TextEncoder().encode(value), byte => byte.toString(16).padStart(2, '0')).join('')
}

/** As it stands within something that was encoded, with none, one or two bytes before it in its group of three. */
function inBase64(value: string): string[] {
  const bytes = new TextEncoder().encode(value)
  return [0, 1, 2].flatMap(before => {
    const shifted = new Uint8Array(before + bytes.length)
    shifted.set(bytes, before)
    const text = btoa(String.fromCharCode(...shifted))
    // The characters into which bits of its neighbours go are none of its own.
    const own = text.slice(Math.ceil((before * 8) / 6), Math.floor((shifted.length * 8) / 6))
    return own.length < SHORTEST_SECRET ? [] : [own, own.replaceAll('+', '-').replaceAll('/', '_')]
  })
}

/** A text without a key's value, plain or encoded for a URL once or twice; as it was, if the value is not in it. */
export function redactText(text: string, secret: Secret, mark = MARK): string {
  if (text === '') return text
  let clean = text
  for (const form of formsOf(secret)) clean = clean.replaceAll(form, mark)
  return clean
}

/**
 * Takes a key's value out of an error: its message, stack, causes, and whatever texts it carries.
 *
 * The error stays the one it was, as others may compare it; one that can't be changed is replaced.
 */
export function redactError(error: unknown, secret: Secret): unknown {
  return formsOf(secret).length === 0 ? error : redact(error, secret, new Set(), 0)
}

function redact(value: unknown, secret: Secret, seen: Set<unknown>, depth: number): unknown {
  if (typeof value === 'string') return redactText(value, secret)
  if (typeof value !== 'object' || value === null || seen.has(value) || depth > DEPTH) return value
  seen.add(value)
  // What others have made is left as it is, or left out: it is theirs, and may be in use.
  if (!isOpen(value)) return holds(value, secret) ? MARK : value
  const holder = value as Record<PropertyKey, unknown>
  for (const name of new Set<PropertyKey>(['message', 'stack', 'cause', ...Reflect.ownKeys(value)])) {
    const { value: before, enumerable } = Object.getOwnPropertyDescriptor(holder, name) ?? {}
    const given = before ?? (name === 'stack' ? holder.stack : undefined)
    const after = redact(given, secret, seen, depth + 1)
    if (after === given || after === undefined) continue
    const changed = Reflect.defineProperty(holder, name, {
      ...{ value: after, configurable: true, writable: true, enumerable: enumerable ?? false },
    })
    if (!changed) return new Error(redactText(String(value), secret))
  }
  return value
}

/** Errors, and plain objects and lists in them, can be looked through and changed. */
function isOpen(value: object): boolean {
  if (isError(value) || Array.isArray(value)) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  // Of whichever realm: only `Object.prototype` inherits from nothing.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Whether the value shows in something of the platform's: a URL, a request, its headers, a map. */
function holds(value: object, secret: Secret): boolean {
  const shown = (text: string) => redactText(text, secret) !== text
  if (value instanceof URL || value instanceof URLSearchParams) return shown(String(value))
  if (value instanceof Map || isOfPlatform(value, 'Headers')) {
    return [...(value as Headers)].some(pair => pair.some(part => shown(String(part))))
  }
  if (!isOfPlatform(value, 'Request') && !isOfPlatform(value, 'Response')) return false
  const { url, headers } = value as Request
  return shown(url) || holds(headers, secret)
}

/** By what the value calls itself: it may be of another realm or implementation. */
function isOfPlatform(value: object, name: string): boolean {
  return Object.prototype.toString.call(value) === `[object ${name}]`
}
