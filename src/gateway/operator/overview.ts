import type { KeySnapshot, PooledFetch } from 'fetch-keypool'

/** So many parts of a key are shown: there may be one for each model, of which callers make names up. */
const PARTS = 50

/** What the page shows of one route; nothing in it is secret. */
export function overviewOf(path: string, fetch: PooledFetch) {
  const { pool } = fetch
  const stats = pool.stats()
  const { series, keys: _, ...totals } = stats
  return {
    path,
    keys: pool.keys().map(key => ({
      ...key,
      ...shownParts(key.parts),
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

/** Those that rest, and then the others. */
function shownParts(all: KeySnapshot['parts']) {
  const parts = [...all].sort((a, b) => Number(a.state === 'ready') - Number(b.state === 'ready')).slice(0, PARTS)
  return { parts, moreParts: all.length - parts.length }
}

export type Overview = ReturnType<typeof overviewOf>
