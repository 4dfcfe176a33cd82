/** One process of a fleet: sends its requests when it is told to, by one of several ways, and says what came of them. */
import Bottleneck from 'bottleneck'
import { wrapFetch } from 'fetch-keypool'
import { redisSharing } from 'fetch-keypool/redis'
import { Redis } from 'ioredis'
import pRetry from 'p-retry'

const { way, url, redis, keys, limits, count, processes } = JSON.parse(process.argv[2])
const client = new Redis(redis)
client.on('error', () => {})
await client.ping()

const WAYS = {
  'fetch-keypool with redisSharing': () => wrapFetch(fetch, { ...common(), limits, sharing: redisSharing({ client }) }),
  'fetch-keypool, a part of the limits for each': () =>
    wrapFetch(fetch, {
      ...common(),
      limits: { ...limits, per: limits.per * processes, burst: Math.floor(limits.burst / processes) },
    }),
  'Bottleneck clustering + p-retry': () => {
    const connection = new Bottleneck.IORedisConnection({ client })
    connection.on('error', () => {})
    const limiters = keys.map(key => {
      const limiter = new Bottleneck({
        // Its reservoirs grow with its heartbeat, which is 5 s here unless told otherwise.
        ...{ id: key, datastore: 'ioredis', connection, clearDatastore: false, heartbeatInterval: 250 },
        ...{ reservoir: limits.burst, reservoirIncreaseMaximum: limits.burst },
        reservoirIncreaseInterval: 250,
        reservoirIncreaseAmount: Math.round((limits.requests * 250) / limits.per),
      })
      limiter.on('error', () => {})
      return limiter
    })
    let turn = 0
    return path =>
      pRetry(
        async () => {
          const index = turn++ % keys.length
          const response = await limiters[index].schedule(() =>
            fetch(path, { headers: { authorization: `Bearer ${keys[index]}` } }),
          )
          if (response.ok) return response
          await response.arrayBuffer()
          await new Promise(resolve => setTimeout(resolve, Number(response.headers.get('retry-after-ms') ?? 50)))
          throw new Error(String(response.status))
        },
        { retries: 20, minTimeout: 50, maxTimeout: 1_000, randomize: true },
      )
  },
}
function common() {
  return { origins: url, keys, cache: false, maxWait: '2m' }
}

const call = WAYS[way]()
await call(`${url}/warm-up`).then(response => response.arrayBuffer())
process.once('message', async () => {
  const answers = await Promise.all(
    Array.from({ length: count }, (_, index) =>
      call(`${url}/${process.pid}/${index}`).then(
        async response => {
          await response.arrayBuffer()
          return response.status
        },
        () => 0,
      ),
    ),
  )
  process.send(answers.filter(status => status !== 200).length, () => process.exit(0))
})
process.send('ready')
