import type { Reply, Signal } from './provider.js'

// Patterns are searched, not tested: one of the user's with the `g` flag would remember where it was.

/**
 * Whether a reply is what a signal describes: every condition that it has must hold.
 *
 * @param sentStatus - the response's own status, where an error in its body stands for another
 */
export function matches(signal: Signal, reply: Reply, sentStatus = reply.status): boolean {
  const { status, code, text, headers } = signal
  if (status !== undefined) {
    const wanted = ([] as number[]).concat(status)
    if (!wanted.includes(reply.status) && !wanted.includes(sentStatus)) return false
  }
  if (headers && !Object.entries(headers).every(([name, value]) => fits(reply.headers.get(name), value))) return false
  if (code !== undefined) {
    const wanted = ([] as (string | RegExp)[]).concat(code)
    if (!reply.body.codes.some(each => wanted.some(one => fits(each, one)))) return false
  }
  return text === undefined || reply.body.text.search(text) >= 0
}

function fits(value: string | null, wanted: string | RegExp): boolean {
  if (value === null) return false
  return typeof wanted === 'string' ? value.toLowerCase() === wanted.toLowerCase() : value.search(wanted) >= 0
}
