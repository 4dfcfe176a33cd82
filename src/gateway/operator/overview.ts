import type { PooledFetch } from 'fetch-keypool'

/** What the page shows of one route; nothing in it is secret. */
export function overviewOf(path: string, fetch: PooledFetch) {
  const { pool } = fetch
  const stats = pool.stats()
  const { series, keys: _, ...totals } = stats
  return {
    path,
    keys: pool.keys().map(key => ({
      ...key,
      attempts: stats.keys[key.id]?.attempts ?? 0,
      refusals: stats.keys[key.id]?.refusals ?? {},
    })),
    stats: totals,
    seconds: series.seconds.map(({ at, calls, passed, refused, cacheHits }) => ({
      at,
      calls,
      passed,
      refused,
      cacheHits,
    })),
    diagnosis: pool.diagnose().text,
  }
}

export type Overview = ReturnType<typeof overviewOf>
