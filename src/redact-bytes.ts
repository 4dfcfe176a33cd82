import { SHORTEST_SECRET } from './describe.js'
import { formsOf } from './redact.js'
import type { Secret } from './secret.js'

const STAR = 0x2a

/** What is looked for of one value, by the byte that it begins with. */
interface Needles {
  readonly byFirst: ReadonlyMap<number, readonly Uint8Array[]>
  readonly longest: number
}

const NEEDLES = new WeakMap<Secret, Needles>()

function needlesOf(secret: Secret): Needles {
  const known = NEEDLES.get(secret)
  if (known) return known
  const byFirst = new Map<number, Uint8Array[]>()
  let longest = 0
  for (const form of formsOf(secret)) {
    const bytes = new TextEncoder().encode(form)
    longest = Math.max(longest, bytes.length)
    const beside = byFirst.get(bytes[0]!)
    if (beside) beside.push(bytes)
    else byFirst.set(bytes[0]!, [bytes])
  }
  const needles = { byFirst, longest }
  NEEDLES.set(secret, needles)
  return needles
}

/** Whether bytes from `at` on are those of a needle, as far as there are any. */
function fits(bytes: Uint8Array, at: number, needle: Uint8Array): boolean {
  const end = Math.min(needle.length, bytes.length - at)
  for (let index = 1; index < end; index++) if (bytes[at + index] !== needle[index]) return false
  return true
}

/**
 * The bytes with stars in the place of a key's value, in any form that it may have in a text; the same array where it does not
 * stand in them. What is said of their length stays true.
 */
export function maskBytes<Bytes extends Uint8Array>(bytes: Bytes, secret: Secret): Bytes {
  let masked: Bytes | undefined
  for (const [first, needles] of needlesOf(secret).byFirst) {
    for (let at = bytes.indexOf(first); at >= 0; at = bytes.indexOf(first, at + 1)) {
      for (const needle of needles) {
        if (at + needle.length > bytes.length || !fits(bytes, at, needle)) continue
        masked ??= bytes.slice() as Bytes
        masked.fill(STAR, at, at + needle.length)
      }
    }
  }
  return masked ?? bytes
}

/**
 * Masks a body that comes in pieces, between which a value may be cut. Only what may be the beginning of one is held back,
 * until it is known: all else goes on at once.
 */
export function maskStream(secret: Secret): TransformStream<Uint8Array, Uint8Array> {
  const { byFirst, longest } = needlesOf(secret)
  let held = new Uint8Array()

  /** Where the longest end begins that may be the beginning of a value. */
  function openFrom(bytes: Uint8Array): number {
    for (let at = Math.max(0, bytes.length - longest + 1); at < bytes.length; at++) {
      const needles = byFirst.get(bytes[at]!)
      if (needles?.some(needle => needle.length > bytes.length - at && fits(bytes, at, needle))) return at
    }
    return bytes.length
  }

  return new TransformStream({
    transform(chunk, controller) {
      const bytes = held.length === 0 ? chunk : joined(held, chunk)
      // What a value has begun in, that is whole by now, may hold the beginning of the next.
      const masked = maskBytes(bytes, secret)
      const end = openFrom(masked)
      held = end === masked.length ? new Uint8Array() : masked.slice(end)
      if (end > 0) controller.enqueue(masked.subarray(0, end))
    },
    flush(controller) {
      if (held.length > 0) controller.enqueue(held)
    },
  })
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length)
  both.set(a)
  both.set(b, a.length)
  return both
}

/** The text with stars in the place of a key's value, each for one character. */
export function maskText(text: string, secret: Secret): string {
  if (secret.length < SHORTEST_SECRET) return text
  let clean = text
  for (const form of formsOf(secret)) if (clean.includes(form)) clean = clean.replaceAll(form, '*'.repeat(form.length))
  return clean
}
