import { SHORTEST_SECRET } from './describe.js'
import type { Secret } from './secret.js'

const MARK = '[secret]'

/**
 * Takes a key's value out of an error: its message, stack, own text properties and causes.
 *
 * The error stays the one it was, as others may compare it; one that can't be changed is replaced.
 */
export function redactError(error: unknown, secret: Secret): unknown {
  const value = secret.reveal()
  if (value.length < SHORTEST_SECRET) return error
  const forms = [...new Set([value, encodeURIComponent(value), new URLSearchParams({ k: value }).toString().slice(2)])]
  return redact(error, forms, new Set())
}

function redact(error: unknown, forms: readonly string[], seen: Set<unknown>): unknown {
  if (typeof error === 'string') return without(error, forms)
  if (typeof error !== 'object' || error === null || seen.has(error)) return error
  seen.add(error)
  const holder = error as Record<string, unknown>
  for (const name of new Set(['message', 'stack', 'cause', ...Object.getOwnPropertyNames(error)])) {
    const before = Object.getOwnPropertyDescriptor(holder, name) && holder[name]
    const after =
      name === 'cause' || before instanceof Error || typeof before === 'string' ? redact(before, forms, seen) : before
    if (after === before) continue
    const changed = Reflect.defineProperty(holder, name, {
      value: after,
      configurable: true,
      writable: true,
      enumerable: false,
    })
    if (!changed) return new Error(without(String(error), forms))
  }
  return error
}

function without(text: string, forms: readonly string[]): string {
  let clean = text
  for (const form of forms) clean = clean.replaceAll(form, MARK)
  return clean
}
