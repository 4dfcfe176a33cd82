import { SHORTEST_SECRET } from './describe.js'
import type { Secret } from './secret.js'

const MARK = '[secret]'
/** How deep into an error's own objects a value is looked for. */
const DEPTH = 5

/** All ways in which a value may stand in a text or a URL. */
function formsOf(secret: Secret): string[] {
  const value = secret.reveal()
  if (value.length < SHORTEST_SECRET) return []
  const encoded = encodeURIComponent(value)
  const form = new URLSearchParams({ k: value }).toString().slice(2)
  return [...new Set([value, encoded, form, encodeURIComponent(encoded), encodeURIComponent(form)])]
}

/** A text without a key's value, plain or encoded for a URL once or twice; as it was, if the value is not in it. */
export function redactText(text: string, secret: Secret, mark = MARK): string {
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
  if (value instanceof URL) return redactText(value.href, secret)
  const holder = value as Record<PropertyKey, unknown>
  for (const name of new Set<PropertyKey>(['message', 'stack', 'cause', ...Reflect.ownKeys(value)])) {
    const { value: before } = Object.getOwnPropertyDescriptor(holder, name) ?? { value: undefined }
    const after = redact(before ?? (name === 'stack' ? holder.stack : undefined), secret, seen, depth + 1)
    if (after === before || after === undefined) continue
    const changed = Reflect.defineProperty(holder, name, {
      value: after,
      configurable: true,
      writable: true,
      enumerable: false,
    })
    if (!changed) return new Error(redactText(String(value), secret))
  }
  return value
}
