/** What an undeclared limit costs until it is found: pace and refusals for each way of telling it. `npm run bench:learn`. */
import Table from 'cli-table3'
import { wrapFetch } from 'fetch-keypool'
import type { Dialect } from '../examples/demo/dialects.js'
import type { ProviderKey } from '../examples/demo/provider.js'
import { startProvider } from '../examples/demo/start-provider.js'

const KEYS = ['bench-key-a', 'bench-key-b', 'bench-key-c', 'bench-key-d']
const even = (limits: ProviderKey) => KEYS.map(() => limits)
const uneven = (limits: ProviderKey) => [20, 40, 60, 80].map(requests => ({ ...limits, requests, per: 1000 }))
const window = { requests: 40, per: 1000 }
const runs: [what: string, dialect: Dialect, limits: ProviderKey[], count: number][] = [
  ['buckets 50/s, burst 10; retry-after-ms', 'retry-after-ms', even({ requests: 50, per: 1000, burst: 10 }), 1000],
  ['40 in any second; retry-after-ms', 'retry-after-ms', even(window), 1000],
  ['40 in each second; the IETF’s fields', 'ietf', even({ ...window, fixed: true }), 1000],
  ['40 in any second; OpenAI’s fields', 'openai', even(window), 1000],
  ['80 in each 2 s; GitHub’s fields', 'github', even({ requests: 80, per: 2000, fixed: true }), 1000],
  ['uneven buckets; a bare 429', 'bare', uneven({ burst: 10 }), 1000],
  ['uneven windows that slide; a bare 429', 'bare', uneven({}), 1000],
  ['40 in any second; Retry-After in seconds', 'retry-after', even(window), 1000],
]

const table = new Table({
  head: ['four keys, nothing declared', 'took s', 'of the quotas’ rate', 'refused in 1,000', 'failed'],
  style: { head: [], border: [] },
})
for (const [what, dialect, limits, count] of runs) {
  const keys = Object.fromEntries(KEYS.map((key, index) => [key, limits[index]!]))
  const provider = await startProvider({ keys, dialect })
  const fetch = wrapFetch(globalThis.fetch, { origins: provider.url, keys: KEYS, cache: false })
  const from = performance.now()
  const statuses = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const response = await fetch(`${provider.url}/${index}`)
      await response.arrayBuffer()
      return response.status
    }),
  )
  const took = (performance.now() - from) / 1000
  const refused = Object.values(await provider.stats()).reduce((sum, each) => sum + each.refused, 0)
  const rate = limits.reduce((sum, { requests, per }) => sum + (requests! / per!) * 1000, 0)
  const failed = statuses.filter(status => status !== 200).length
  table.push([what, took.toFixed(2), (count / took / rate).toFixed(2), Math.round((refused / count) * 1000), failed])
  await fetch.close()
  provider.stop()
}
console.log(table.toString())
