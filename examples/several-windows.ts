/** Several windows at once, and keys that share one: run it with `npx tsx examples/several-windows.ts`. */
import { wrapFetch } from 'fetch-keypool'
import { startProvider } from './demo/start-provider.js'

const quota = { requests: 20, per: 1000 }
const provider = await startProvider({ keys: { 'secret-a': quota, 'secret-b': quota } })

const fetch = wrapFetch(globalThis.fetch, {
  origins: provider.url,
  keys: ['secret-a', 'secret-b'],
  limits: [
    { requests: 20, per: '1s' },
    { requests: 10_000, per: 'day', timeZone: 'America/Los_Angeles' },
    { concurrency: 10 },
  ],
})

const from = performance.now()
await Promise.all(Array.from({ length: 100 }, (_, index) => fetch(`${provider.url}/item/${index}`)))
console.log(`100 requests in ${((performance.now() - from) / 1000).toFixed(1)} s`)
for (const { id, limits } of fetch.pool.keys()) {
  console.log(
    id,
    limits
      .map(({ unit, remaining, limit, per }) => `${unit}: ${remaining} of ${limit}${per ? ` per ${per}` : ''}`)
      .join(', '),
  )
}
const refused = Object.values(await provider.stats()).reduce((sum, each) => sum + each.refused, 0)
console.log(`${refused} refused`)

await fetch.close()
provider.stop()
