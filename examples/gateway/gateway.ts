/** A gateway in code, and a program that knows no key: run it with `npx tsx examples/gateway/gateway.ts`. */
import { createGateway, hashToken } from 'fetch-keypool/gateway'
import { startProvider } from '../demo/start-provider.js'

const quota = { requests: 20, per: 1000, burst: 5 }
const provider = await startProvider({ keys: { 'secret-a': quota, 'secret-b': quota } })

const gateway = await createGateway({
  listen: { port: 0 },
  log: false,
  allowPrivateUpstreams: true, // the service of this example is on this machine
  routes: { '/api': { upstream: provider.url, keys: 'secret-a,secret-b', limits: quota, cache: false } },
  policies: [
    { name: 'callers', authentication: { tokens: [{ id: 'app', hash: hashToken('token-of-app') }] } },
    { name: 'fair', rateLimit: { requests: 30, per: '1m' } },
  ],
})
const url = await gateway.listen()

// Any program, in any language: a base URL, and a token in the place of a key.
const ask = (path: string) => fetch(`${url}/api${path}`, { headers: { authorization: 'Bearer token-of-app' } })
const statuses = await Promise.all(Array.from({ length: 40 }, async (_, id) => (await ask(`/items/${id}`)).status))
const count = (status: number) => statuses.filter(each => each === status).length
console.log(`served: ${count(200)}, over the caller's limit: ${count(429)}`)
console.log(`without a token: ${(await fetch(`${url}/api/items/1`)).status}`)
for (const { id, state } of gateway.pool('/api').pool.keys()) console.log(id, state)

await gateway.close()
provider.stop()
