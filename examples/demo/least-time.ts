import type { ProviderKey } from './provider.js'

/** The least time in which keys with these quotas can serve so many requests, in milliseconds. */
export function leastTime(count: number, keys: readonly ProviderKey[]): number {
  for (let time = 0; ; time += 10) {
    if (keys.reduce((sum, key) => sum + capacity(key, time), 0) >= count) return time
  }
}

/** How many requests a key serves from the first moment up to `time`. */
function capacity(
  { requests, per = 1000, burst, quota = Number.POSITIVE_INFINITY, dead }: ProviderKey,
  time: number,
): number {
  if (dead || requests === undefined) return 0
  const served =
    burst === undefined ? requests * (Math.floor(time / per) + 1) : burst + Math.floor((time * requests) / per)
  return Math.min(quota, served)
}
