import type { Policy } from './policy.js'

/** No body is larger; what is not said beforehand is counted while it comes in. */
export function bodySize(name: string, routes: readonly string[] | undefined, bytes: number): Policy {
  return {
    ...{ name, routes, maxBody: bytes },
    check(visit) {
      if (visit.length === undefined || visit.length <= bytes) return undefined
      return { status: 413, type: 'body-too-large', title: `The body is larger than ${bytes} bytes` }
    },
  }
}
