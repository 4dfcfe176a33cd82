/** How near the pool comes to the pace that the quotas allow, and how many calls are refused on the way: `npm run bench:pace`. */
import Table from 'cli-table3'
import { wrapFetch } from 'fetch-keypool'
import { leastTime } from '../examples/demo/least-time.js'
import type { ProviderKey } from '../examples/demo/provider.js'
import { startProvider } from '../examples/demo/start-provider.js'

const KEYS = ['bench-key-a', 'bench-key-b', 'bench-key-c', 'bench-key-d']
const COUNT = 1000
const bucket = { requests: 50, per: 1000, burst: 10 }
const window = { requests: 40, per: 1000 }
const runs: [what: string, limits: ProviderKey, latency: number][] = [
  ['50/s, burst 10; answers in 5 ms', bucket, 5],
  ['50/s, burst 10; answers in 200 ms', bucket, 200],
  ['50/s, burst 10; answers in 5 s', bucket, 5000],
  ['40 in any second; answers in 5 ms', window, 5],
  ['40 in any second; answers in 200 ms', window, 200],
  ['40 in any second; answers in 5 s', window, 5000],
]

async function measure(limits: ProviderKey, latency: number) {
  const provider = await startProvider({ keys: Object.fromEntries(KEYS.map(key => [key, limits])), latency })
  const fetch = wrapFetch(globalThis.fetch, { origins: provider.url, keys: KEYS, limits, cache: false })
  const from = performance.now()
  await Promise.all(
    Array.from({ length: COUNT }, async (_, index) => (await fetch(`${provider.url}/${index}`)).arrayBuffer()),
  )
  const took = performance.now() - from
  const refused = Object.values(await provider.stats()).reduce((sum, each) => sum + each.refused, 0)
  await fetch.close()
  provider.stop()
  const least =
    leastTime(
      COUNT,
      KEYS.map(() => limits),
    ) + latency
  return { took, least, refused }
}

// The first run of a process compiles as it goes: it is not what a service sees.
await measure(bucket, 5)
const table = new Table({
  head: ['four keys, 1,000 requests at once', 'least s', 'took s', 'pace', 'refused in 1,000'],
  style: { head: [], border: [] },
})
for (const [what, limits, latency] of runs) {
  const { took, least, refused } = await measure(limits, latency)
  table.push([what, (least / 1000).toFixed(2), (took / 1000).toFixed(2), (least / took).toFixed(3), refused])
}
console.log(table.toString())
