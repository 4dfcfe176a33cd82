import type { PooledKey } from './pooled-key.js'
import type { Quota } from './quota.js'

/** Refusals that come within so long of each other may have one reason, in milliseconds. */
const MOMENTS = 5_000
/** A key that has not been used for so long has not used anything up itself, in milliseconds. */
const RESTED = 3_000
/** Two limits that end so close to each other are one, in milliseconds. */
const SAME_END = 1_100
/** Of refusals that don't say when they end, so many on rested keys are needed. */
const ENOUGH = 3
/** A key that worked so long ago may well have been revoked since, in milliseconds. */
const PROVEN_MS = 60_000
/** Few keys are soon all at limits of their own; that as many as these are at one time is no coincidence. */
const MANY_KEYS = 6
/** After keys were seen to have limits of their own, that is not asked again for so long, in milliseconds. */
const SETTLED = 600_000

/** A refusal for a limit. */
export interface Refused {
  readonly quota: Quota<PooledKey>
  readonly part: string
  /** How long its quota had not been used, in milliseconds. */
  readonly rested: number
  /** When the server says that it ends. */
  readonly until: number | undefined
}

/**
 * Asks who is to blame when keys are refused one after another.
 *
 * One refusal blames the key. The same on a second key that has not been used points at something that they share: the
 * account, the address, the service or the request. It is not the same when the limits end at different times.
 */
export class Blame {
  #refusals: (Refused & { readonly at: number })[] = []
  #rejected: { readonly key: PooledKey; readonly at: number }[] = []
  #ownUntil = Number.NEGATIVE_INFINITY
  /** Until when keys that are refused as invalid are taken to be so. */
  #believedUntil = Number.NEGATIVE_INFINITY
  /** Keys that seem to share a limit. */
  readonly shared = new Set<string>()
  /** How many refusals as invalid were not believed. */
  unbelieved = 0

  /**
   * A key was refused for a limit.
   *
   * @param keys - how many the pool has
   * @returns the ids of other keys that were refused alike, so that the limit is one that they share; none: it is its own
   */
  refused(refusal: Refused, now: number, keys: number): readonly string[] {
    if (now < this.#ownUntil) return []
    const others = this.#refusals.filter(
      ({ quota, part, at }) => at > now - MOMENTS && part === refusal.part && quota !== refusal.quota,
    )
    this.#refusals = [...others, { ...refusal, at: now }]
    // Not one of many has passed while all were refused.
    if (keys >= MANY_KEYS && others.length + 1 >= keys) return idsOf(others)
    if (refusal.rested < RESTED || others.length === 0) return []
    const { until } = refusal
    const alike =
      until === undefined
        ? others.filter(each => each.until === undefined && each.rested >= RESTED)
        : others.filter(each => each.until !== undefined && Math.abs(each.until - until) <= SAME_END)
    if (alike.length + 1 < (until === undefined ? ENOUGH : 2)) return []
    for (const each of [...alike, { ...refusal, at: now }]) {
      // A key that was in use may have used up a limit of its own, which began when the others' did.
      if (hasUsedNothing(each)) for (const key of each.quota.keys) this.shared.add(key.id)
    }
    return idsOf(alike)
  }

  /** A key passed while others were refused: their limits are their own. */
  passed(key: PooledKey, sentAt: number, now: number): void {
    const { quota } = key
    if (this.#rejected.some(each => each.key !== key && each.at < sentAt)) {
      // While this one works, others that are refused as invalid are so.
      this.#rejected = []
      this.#believedUntil = now + SETTLED
    }
    if (this.#refusals.length === 0) return
    if (this.#refusals.some(each => each.quota !== quota && each.at < sentAt && each.at > now - MOMENTS)) {
      this.#ownUntil = now + SETTLED
      this.shared.clear()
    }
    this.#refusals = []
  }

  /**
   * A key was refused as invalid.
   *
   * @returns the keys that it is not to be believed of: they, and this one, were in order a moment ago
   */
  rejected(key: PooledKey, now: number): readonly PooledKey[] {
    const others = this.#rejected.filter(each => each.at > now - MOMENTS && each.key !== key)
    // A key that no one has seen working, or not lately, may well be bad, and so may all of them.
    if (key.provenAt === undefined || now - key.provenAt > PROVEN_MS || now < this.#believedUntil) return []
    this.#rejected = [...others, { key, at: now }]
    if (others.length > 0) this.unbelieved++
    return others.map(each => each.key)
  }
}

/** The windows that services count in, in milliseconds: a limit that ends in ten seconds may be one of a minute. */
const WINDOWS_MS = [1_000, 60_000, 3_600_000, 86_400_000]

/** Whether a key was refused that had not been used for as long as the window that it was refused for. */
function hasUsedNothing({ rested, until, at }: Refused & { readonly at: number }): boolean {
  const wait = until === undefined ? 60_000 : until - at
  return rested >= (WINDOWS_MS.find(window => window >= wait) ?? Number.POSITIVE_INFINITY)
}

function idsOf(refusals: readonly Refused[]): string[] {
  return refusals.flatMap(({ quota }) => [...quota.keys].map(key => key.id))
}
