import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { gateway } from '../helpers/gateway.js'
import { loopback } from '../helpers/loopback.js'
import { hasRedis, type RunningRedis, startRedis } from '../helpers/redis.js'

let redis: RunningRedis
beforeAll(async () => {
  if (hasRedis) redis = await startRedis()
})
afterAll(() => redis?.stop())

describe.runIf(hasRedis)('two gateways over Redis', () => {
  it('keep the limits of their keys together, and know which key is out', async () => {
    const server = await loopback(({ key }) =>
      key === 'value-of-b' ? { status: 429, headers: { 'retry-after': '60' } } : { body: 'x' },
    )
    const limits = { requests: 10, per: '1m' }
    const route = { upstream: server.url, keys: 'value-of-a,value-of-b', cache: false as const, limits, maxWait: 300 }
    const config = { redis: redis.url, routes: { '/api': route } }
    const [one, other] = [await gateway(config), await gateway(config)]
    const answers = await Promise.all(
      Array.from({ length: 24 }, async (_, index) => (await fetch(`${[one, other][index % 2]!.url}/api/x`)).status),
    )
    expect(answers.filter(status => status === 200)).toHaveLength(10)
    const states = () => [one, other].map(each => each.pool('/api').pool.keys()[1]!.state)
    await vi.waitFor(() => expect(states()).toEqual(['cooling', 'cooling']))
    expect(server.keys().filter(key => key === 'value-of-a')).toHaveLength(10)
  })
})
