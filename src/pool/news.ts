import type { Scope } from '../signals/provider.js'

/**
 * What one process has found out about a key, for all others that use it. Times are in milliseconds since the epoch, by
 * the clock of whoever reads it.
 *
 * `sentAt` is when the request left that showed it: of two that contradict each other, the later request is right,
 * however late its news arrives.
 */
export type News =
  /** A quota, or the part of it with this name (`''`: all of it), was refused and rests. */
  | {
      readonly kind: 'cooling'
      readonly part: string
      readonly sentAt: number
      readonly cause: 'rate-limit' | 'quota'
      readonly scope: Scope
      readonly status: number
      readonly since: number
      readonly refusedAt: number
      readonly until: number
      /** Whether the server said until when. */
      readonly told: boolean
      /** When one request tries it before that; `null`: none does. */
      readonly tryAt: number | null
    }
  /** It is there again. */
  | { readonly kind: 'open'; readonly part: string; readonly sentAt: number }
  /** The server refused the key as invalid. */
  | {
      readonly kind: 'rejected'
      readonly sentAt: number
      readonly status: number
      readonly since: number
      readonly failures: number
      readonly probeAt: number
    }
  /** The program switched it off. */
  | { readonly kind: 'disabled'; readonly sentAt: number }
  /** The server took it again, or the program switched it on. */
  | { readonly kind: 'enabled'; readonly sentAt: number }

const MOMENTS = ['sentAt', 'since', 'refusedAt', 'until', 'tryAt', 'probeAt']

/** The same news by another clock. */
export function atMoments(news: News, convert: (at: number) => number): News {
  const entries = Object.entries(news).map(([name, value]) => [
    name,
    MOMENTS.includes(name) && typeof value === 'number' ? convert(value) : value,
  ])
  return Object.fromEntries(entries) as News
}
