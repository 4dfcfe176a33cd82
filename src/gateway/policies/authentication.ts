import { createHash, timingSafeEqual } from 'node:crypto'
import type { AuthenticationConfig } from '../config/config.js'
import type { Policy } from './policy.js'

/** A token that is known by its hash. */
export interface KnownToken {
  readonly id: string
  readonly hash: Buffer
  readonly expiresAt: number
  readonly routes: readonly string[] | undefined
}

/** `sha256:` and 64 hexadecimal digits: what is kept of a token. */
export function hashToken(token: string): string {
  return `sha256:${createHash('sha256').update(token).digest('hex')}`
}

export function knownToken(
  id: string,
  hash: string,
  expiresAt?: string | Date,
  routes?: readonly string[],
): KnownToken {
  return {
    ...{ id, routes },
    hash: Buffer.from(hash.slice('sha256:'.length), 'hex'),
    expiresAt: expiresAt === undefined ? Number.POSITIVE_INFINITY : new Date(expiresAt).getTime(),
  }
}

/** Finds who has shown a token; all that are known are compared, in constant time. */
export function findToken(known: readonly KnownToken[], shown: readonly string[]): KnownToken | undefined {
  let found: KnownToken | undefined
  for (const token of shown) {
    const hash = createHash('sha256').update(token).digest()
    for (const each of known) if (timingSafeEqual(each.hash, hash)) found ??= each
  }
  return found
}

/** Callers show a token that is known, is not expired, and is good for the route. */
export function authentication(
  name: string,
  routes: readonly string[] | undefined,
  { tokens }: AuthenticationConfig,
): Policy {
  const known = tokens.map(({ id, hash, expiresAt, routes: of }) => knownToken(id, hash, expiresAt, of))
  const refusal = (title: string) =>
    ({
      status: 401,
      type: 'unauthenticated',
      title,
      headers: { 'www-authenticate': 'Bearer realm="keypool"' },
    }) as const
  return {
    ...{ name, routes, authenticates: true },
    check(visit) {
      const token = findToken(known, visit.tokens)
      if (!token) return refusal(visit.tokens.length === 0 ? 'A token is needed' : 'The token is not known')
      if (Date.now() >= token.expiresAt) return refusal('The token has expired')
      if (token.routes && !token.routes.includes(visit.route)) {
        return { status: 403, type: 'route-not-allowed', title: 'The token is not good for this route' }
      }
      visit.caller = token.id
      return undefined
    },
  }
}
