/**
 * Two pools that share their keys over Redis, as two processes would: run it with
 * `REDIS_URL=redis://127.0.0.1:6379 npx tsx examples/many-processes.ts`.
 */
import { wrapFetch } from 'fetch-keypool'
import { redisSharing } from 'fetch-keypool/redis'
import { Redis } from 'ioredis'
import { startProvider } from './demo/start-provider.js'

const quota = { requests: 20, per: 1000, burst: 5 }
const provider = await startProvider({ keys: { 'secret-a': quota, 'secret-b': quota } })

const fleet = [1, 2].map(() => {
  const client = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379')
  client.on('error', error => console.error(error.message))
  const fetch = wrapFetch(globalThis.fetch, {
    ...{ origins: provider.url, keys: ['secret-a', 'secret-b'], limits: quota, cache: false },
    sharing: redisSharing({ client }),
  })
  return { client, fetch }
})

const answers = fleet.flatMap(({ fetch }) => Array.from({ length: 40 }, (_, id) => fetch(`${provider.url}/${id}`)))
const statuses = (await Promise.all(answers)).map(({ status }) => status)
const refused = Object.values(await provider.stats()).reduce((sum, each) => sum + each.refused, 0)
console.log(`answers: ${statuses.filter(status => status === 200).length} × 200, refused on the way: ${refused}`)

for (const { client, fetch } of fleet) {
  await fetch.close()
  client.disconnect()
}
provider.stop()
