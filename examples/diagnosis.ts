/** Why do keys run out? A provider on loopback, limits that were declared too high, and what the pool has to say of it. */
import { wrapFetch } from 'fetch-keypool'
import { startProvider } from './demo/start-provider.js'

const limits = { requests: 20, per: 1000 }
const provider = await startProvider({
  keys: { 'key-of-anna': limits, 'key-of-ben': limits },
  dialect: 'retry-after-ms',
})
const fetch = wrapFetch(globalThis.fetch, {
  origins: provider.url,
  keys: [
    { id: 'anna', value: 'key-of-anna' },
    { id: 'ben', value: 'key-of-ben' },
  ],
  limits: { requests: 100, per: '1s' }, // five times what the provider allows
  cache: false,
})

await Promise.all(Array.from({ length: 100 }, (_, index) => fetch(`${provider.url}/city/${index % 10}`)))

const { why } = await fetch.explain(`${provider.url}/city/1`)
const { waits, latency } = fetch.pool.stats()
console.log(`The next request: ${why}`)
console.log(`Waits: p50 ${waits.p50} ms, p95 ${waits.p95} ms; latency: p95 ${latency.p95} ms\n`)
console.log(fetch.pool.diagnose().text)

await fetch.close()
provider.stop()
