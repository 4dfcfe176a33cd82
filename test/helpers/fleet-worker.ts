/**
 * One process of a fleet: a pool that shares its keys over Redis. Its settings come as its argument, in JSON. It says
 * that it is ready, sends its requests when it is told to, and says what they came to; closed, it must end by itself.
 */
import { wrapFetch } from 'fetch-keypool'
import { redisSharing } from 'fetch-keypool/redis'
import { Redis } from 'ioredis'
import type { FleetSettings } from './fleet.js'

const { url, redis, keys, limits, count }: FleetSettings = JSON.parse(process.argv[2]!)
const client = new Redis(redis)
client.on('error', () => {})
const fetch = wrapFetch(globalThis.fetch, {
  ...{ origins: url, keys, limits, cache: false, maxWait: '2m' },
  sharing: redisSharing({ client }),
})
const events: string[] = []
for (const name of ['sharing-degraded', 'sharing-restored'] as const) fetch.pool.on(name, () => events.push(name))

process.once('message', async () => {
  const answers = await Promise.all(
    Array.from({ length: count }, (_, index) =>
      fetch(`${url}/${process.pid}/${index}`).then(
        response => response.status,
        (error: Error) => error.message,
      ),
    ),
  )
  await fetch.close()
  process.send!({ answers, events }, () => {
    client.disconnect()
    process.disconnect()
  })
})
// The first answer to a ping means that Redis is there.
await client.ping()
process.send!('ready')
