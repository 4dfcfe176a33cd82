import { type KeyPool, type Options, wrapFetch } from 'fetch-keypool'
import { redisSharing } from 'fetch-keypool/redis'
import { Redis } from 'ioredis'
import { Redis as Redis5 } from 'ioredis5'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { loopback } from '../helpers/loopback.js'
import { hasRedis, type RunningRedis, startRedis } from '../helpers/redis.js'

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))
const json = { 'content-type': 'application/json' }

let redis: RunningRedis
beforeAll(async () => {
  if (hasRedis) redis = await startRedis()
})
afterAll(() => redis?.stop())

const open: { close(): unknown }[] = []
afterEach(async () => {
  for (const each of open.splice(0).reverse()) await each.close()
})

function connect(url = redis.url, options: object = {}): Redis {
  const client = new Redis(url, { maxRetriesPerRequest: 1, ...options })
  client.on('error', () => {})
  open.push({ close: () => client.disconnect() })
  return client
}

/** A pool as another process would have it: with a client and a membership of its own. */
function member(
  url: string,
  options: Partial<Options> = {},
  client = connect(),
  sharing: Partial<Parameters<typeof redisSharing>[0]> = {},
) {
  const fetch = wrapFetch(globalThis.fetch, {
    ...{ origins: url, keys: ['value-of-a', 'value-of-b'], cache: false, retry: false },
    sharing: redisSharing({ client, ...sharing }),
    ...options,
  })
  open.push(fetch)
  return fetch
}

function told(pool: KeyPool, ...names: Parameters<KeyPool['on']>[0][]) {
  const events: [string, Record<string, unknown>][] = []
  for (const name of names) pool.on(name, (event: unknown) => events.push([name, event as Record<string, unknown>]))
  return events
}

const stateOf = (pool: KeyPool, id = 'key-1') => pool.keys().find(key => key.id === id)!.state

describe.runIf(hasRedis)('what processes tell each other over Redis', () => {
  it('a refusal that one meets rests the key for all, at once', async () => {
    const server = await loopback(({ key }) =>
      key === 'value-of-a' ? { status: 429, headers: { 'retry-after': '60' } } : { body: 'fine' },
    )
    const [one, other] = [member(server.url), member(server.url)]
    expect(await (await other(`${server.url}/warm`)).text()).toBe('fine')
    const events = told(other.pool, 'key-exhausted')
    await one(`${server.url}/x`)
    await vi.waitFor(() => expect(stateOf(other.pool)).toBe('cooling'), { timeout: 1_000, interval: 5 })
    expect(events.length).toBeLessThanOrEqual(1)
    const before = server.keys().filter(key => key === 'value-of-a').length
    for (let count = 0; count < 5; count++) await other(`${server.url}/${count}`)
    expect(server.keys().filter(key => key === 'value-of-a')).toHaveLength(before)
    expect(other.pool.keys()[0]!.until!.getTime() - Date.now()).toBeGreaterThan(50_000)
  })

  it('one that starts later knows what is out, and does not try it', async () => {
    const server = await loopback(({ key }) =>
      key === 'value-of-a'
        ? { status: 429, headers: { 'retry-after': '60' } }
        : { status: 401, headers: json, body: '{"error":{"code":"invalid_api_key"}}' },
    )
    const one = member(server.url, { maxWait: 50, onExhausted: 'respond' })
    await one(`${server.url}/x`)
    await vi.waitFor(() => expect([stateOf(one.pool), stateOf(one.pool, 'key-2')]).toEqual(['cooling', 'disabled']))
    await pause(50)
    const sent = server.received.length
    const late = member(server.url, { maxWait: 50, onExhausted: 'respond' })
    expect((await late(`${server.url}/x`)).status).toBe(429)
    expect(server.received).toHaveLength(sent)
    expect(late.pool.keys().map(({ cause }) => cause)).toEqual(['rate-limit', 'invalid-key'])
  })

  it('a recovery that one finds out is one for all', async () => {
    let isOut = true
    const server = await loopback(() => (isOut ? { status: 429, headers: { 'retry-after': '1' } } : { body: 'fine' }))
    const options = { keys: ['value-of-a'], maxWait: 3_000 }
    const [one, other] = [member(server.url, options), member(server.url, options)]
    const events = told(other.pool, 'key-exhausted', 'key-recovered')
    const answer = one(`${server.url}/x`)
    await vi.waitFor(() => expect(stateOf(other.pool)).toBe('cooling'))
    isOut = false
    expect((await answer).status).toBe(200)
    await vi.waitFor(() => expect(events.map(([name]) => name)).toEqual(['key-exhausted', 'key-recovered']))
    expect(events.map(([, { elsewhere }]) => elsewhere)).toEqual([true, true])
    expect(stateOf(other.pool)).toBe('ready')
  })

  it('what the program disables, enables and resets in one holds in all', async () => {
    const server = await loopback(({ key }) => ({ body: key }))
    const [one, other] = [member(server.url), member(server.url)]
    await Promise.all([one(`${server.url}/x`), other(`${server.url}/x`)])
    one.pool.disable('key-1')
    await vi.waitFor(() => expect(stateOf(other.pool)).toBe('disabled'))
    expect(await (await other(`${server.url}/y`)).text()).toBe('value-of-b')
    other.pool.enable('key-1')
    await vi.waitFor(() => expect(stateOf(one.pool)).toBe('ready'))
    one.pool.disable('key-1')
    await vi.waitFor(() => expect(stateOf(other.pool)).toBe('disabled'))
    one.pool.reset()
    await vi.waitFor(() => expect(stateOf(other.pool)).toBe('ready'))
  })

  it('late news of a refusal does not undo a newer recovery', async () => {
    let isOut = true
    let release = () => {}
    const late = new Promise<void>(resolve => {
      release = resolve
    })
    const server = await loopback(async ({ url }) => {
      if (url === '/late') {
        await late
        return { status: 429, headers: { 'retry-after': '30' } }
      }
      return isOut ? { status: 429, headers: { 'retry-after-ms': '100' } } : { body: 'fine' }
    })
    const options = { keys: ['value-of-a'], maxWait: 3_000, onExhausted: 'respond' as const }
    const [slow, one, other] = [member(server.url, options), member(server.url, options), member(server.url, options)]
    await Promise.all([slow(`${server.url}/`), one(`${server.url}/`), pause(20).then(() => (isOut = false))])
    await pause(100)
    const body = new ReadableStream({ start: controller => controller.close() })
    // Sent before the others refuse and recover; refused after.
    const answer = slow(`${server.url}/late`, { method: 'POST', body, duplex: 'half' } as RequestInit)
    await vi.waitFor(() => expect(server.received.some(({ url }) => url === '/late')).toBe(true))
    isOut = true
    const again = one(`${server.url}/`)
    await vi.waitFor(() => expect(stateOf(other.pool)).toBe('cooling'))
    isOut = false
    expect((await again).status).toBe(200)
    await vi.waitFor(() => expect(stateOf(other.pool)).toBe('ready'))
    release()
    expect((await answer).status).toBe(429)
    await pause(100)
    expect([one, other].map(({ pool }) => pool.keys()[0]!.cause)).toEqual([null, null])
  })

  it('one probe at a time tries a key that nobody knows of when it is back, in all of them', async () => {
    let probes = 0
    let most = 0
    let isOut = true
    const server = await loopback(async () => {
      most = Math.max(most, ++probes)
      await pause(150)
      probes--
      return isOut ? { status: 401, headers: json, body: '{"error":{"code":"invalid_api_key"}}' } : { body: 'fine' }
    })
    const options = { keys: ['value-of-a'], maxWait: 50, onExhausted: 'respond' as const }
    const fleet = [1, 2, 3, 4].map(() => member(server.url, options))
    await fleet[0]!(`${server.url}/`)
    await vi.waitFor(() => expect(fleet.map(({ pool }) => stateOf(pool))).toEqual(Array(4).fill('disabled')))
    isOut = false
    most = 0
    const before = performance.now.bind(performance)
    const later = vi.spyOn(performance, 'now').mockImplementation(() => before() + 65_000)
    try {
      const answers: Promise<number>[] = []
      for (let round = 0; round < 5; round++) {
        answers.push(...fleet.map(fetch => fetch(`${server.url}/`).then(({ status }) => status)))
        await pause(30)
      }
      expect((await Promise.all(answers)).filter(status => status === 200).length).toBeGreaterThan(0)
      expect(most).toBe(1)
    } finally {
      later.mockRestore()
    }
  })

  it('keys of one group share a cooldown, whichever of them was refused', async () => {
    const server = await loopback(() => ({ status: 429, headers: { 'retry-after': '60' } }))
    const keys = (values: string[]) => values.map(value => ({ value, id: value, group: 'team' }))
    const options = { maxWait: 50, onExhausted: 'respond' as const }
    const one = member(server.url, { ...options, keys: keys(['value-of-a']) })
    const other = member(server.url, { ...options, keys: keys(['value-of-b']) })
    await Promise.all([one(`${server.url}/x`)])
    await vi.waitFor(() => expect(stateOf(other.pool, 'value-of-b')).toBe('cooling'))
    expect(server.keys()).toEqual(['value-of-a'])
  })

  it('a model that is used up rests for all, and no other', async () => {
    const server = await loopback(({ body }) =>
      body.includes('big') ? { status: 429, headers: { 'retry-after': '60' } } : { body: 'fine' },
    )
    const options = { keys: ['value-of-a'], scope: 'model' as const, maxWait: 50, onExhausted: 'respond' as const }
    const [one, other] = [member(server.url, options), member(server.url, options)]
    const ask = (fetch: typeof one, model: string) =>
      fetch(`${server.url}/v1`, { method: 'POST', body: JSON.stringify({ model }) }).then(({ status }) => status)
    expect(await ask(other, 'small')).toBe(200)
    expect(await ask(one, 'big')).toBe(429)
    await vi.waitFor(() => expect(other.pool.keys()[0]!.parts.some(({ state }) => state === 'cooling')).toBe(true))
    const sent = server.received.length
    expect(await ask(other, 'big')).toBe(429)
    expect(server.received).toHaveLength(sent)
    expect(await ask(other, 'small')).toBe(200)
  })

  it('pools of other origins, or of another name, have nothing in common', async () => {
    const [a, b] = [
      await loopback(() => ({ status: 429, headers: { 'retry-after': '60' } })),
      await loopback(() => ({ body: 'fine' })),
    ]
    const options = { maxWait: 50, onExhausted: 'respond' as const }
    await member(a.url, options)(`${a.url}/x`)
    await pause(50)
    expect((await member(b.url, options)(`${b.url}/x`)).status).toBe(200)
    const named = member(a.url, options, connect(), { name: 'of its own' })
    await named(`${a.url}/x`)
    expect(a.received).toHaveLength(4)
  })
})

describe.runIf(hasRedis)('limits over Redis', () => {
  it.each([
    ['windows', { requests: 12, per: 60_000 }, 12],
    ['buckets', { requests: 1, per: 60_000, burst: 12 }, 12],
    ['days', { requests: 12, per: 'day' as const }, 12],
    ['tokens', { tokens: 36, per: 60_000, cost: () => 3 }, 12],
  ])('of %s hold for all processes together, and may be used in full by any', async (_, limits, most) => {
    const server = await loopback(() => ({ body: 'fine' }))
    const options = { keys: ['value-of-a'], limits, maxWait: 1_500, onExhausted: 'respond' as const }
    const fleet = [1, 2, 3].map(() => member(server.url, options))
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        fleet[index % 3]!(`${server.url}/${index}`).then(({ status }) => status),
      ),
    )
    expect(answers.filter(status => status === 200)).toHaveLength(most)
    expect(server.received).toHaveLength(most)
  })

  it('that count different things in one window are kept apart', async () => {
    const server = await loopback(() => ({ body: 'fine' }))
    const limits = [
      { tokens: 1_000, per: 60_000, cost: () => 10 },
      { tokens: 200, per: 60_000, cost: () => 10 },
    ]
    const options = { keys: ['value-of-a'], limits, maxWait: 1_500, onExhausted: 'respond' as const }
    const fleet = [1, 2, 3].map(() => member(server.url, options))
    const all = fleet.flatMap(fetch => Array.from({ length: 10 }, () => fetch(`${server.url}/`)))
    expect((await Promise.all(all)).filter(({ status }) => status === 200)).toHaveLength(20)
  })

  it('one process may use what nobody else wants', async () => {
    const server = await loopback(() => ({ body: 'fine' }))
    const options = { keys: ['value-of-a'], limits: { requests: 50, per: 60_000 }, maxWait: 1_000 }
    const [one, other] = [member(server.url, options), member(server.url, options)]
    await other(`${server.url}/`)
    await Promise.all(Array.from({ length: 48 }, () => one(`${server.url}/`)))
    expect(server.received).toHaveLength(49)
  })

  it('of requests at once hold for all together', async () => {
    let running = 0
    let most = 0
    const server = await loopback(async () => {
      most = Math.max(most, ++running)
      await pause(20)
      running--
      return { body: 'fine' }
    })
    const options = { keys: ['value-of-a'], limits: { concurrency: 5 } }
    const fleet = [1, 2, 3, 4].map(() => member(server.url, options))
    await Promise.all(
      Array.from({ length: 80 }, (_, index) => fleet[index % 4]!(`${server.url}/`).then(response => response.text())),
    )
    expect(most).toBeLessThanOrEqual(5)
    expect(most).toBeGreaterThanOrEqual(4)
  })

  it('fewer than there are processes go round', async () => {
    const server = await loopback(() => ({ body: 'fine' }))
    const options = { keys: ['value-of-a'], limits: { concurrency: 1 } }
    const fleet = [1, 2, 3].map(() => member(server.url, options))
    const all = fleet.map(fetch => Promise.all(Array.from({ length: 5 }, () => fetch(`${server.url}/`))))
    expect((await Promise.all(all)).flat().map(({ status }) => status)).toEqual(Array(15).fill(200))
  })

  it('are asked for before they run dry, so that few requests wait and few commands are sent', async () => {
    const server = await loopback(() => ({ body: 'fine' }))
    const client = connect()
    const fetch = member(server.url, { keys: ['value-of-a'], limits: { requests: 10_000, per: 60_000 } }, client)
    await fetch(`${server.url}/`)
    const run = vi.spyOn(client, 'evalsha')
    for (let count = 0; count < 300; count++) await fetch(`${server.url}/`)
    expect(run.mock.calls.length).toBeLessThan(60)
  })

  it('show what is left in all, not what this process holds of it', async () => {
    const server = await loopback(() => ({ body: 'fine' }))
    const options = { keys: ['value-of-a'], limits: { requests: 100, per: 3_600_000 } }
    const fetch = member(server.url, options)
    const alerts = told(fetch.pool, 'key-near-exhaustion')
    for (let count = 0; count < 10; count++) await fetch(`${server.url}/`)
    expect(fetch.pool.keys()[0]!.limits[0]).toMatchObject({ limit: 100 })
    await vi.waitFor(() => expect(fetch.pool.keys()[0]!.remaining).toBe(90), { timeout: 3_000 })
    expect(alerts).toEqual([])
  })

  it('a process that closes gives back what it has not used', async () => {
    const server = await loopback(() => ({ body: 'fine' }))
    const options = { keys: ['value-of-a'], limits: { requests: 10, per: 60_000 }, maxWait: 500 }
    const one = member(server.url, options)
    await Promise.all([1, 2, 3].map(() => one(`${server.url}/`)))
    await one.close()
    const other = member(server.url, { ...options, onExhausted: 'respond' })
    const answers = await Promise.all(Array.from({ length: 9 }, () => other(`${server.url}/`)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(7)
  })

  it('that were found out by one are known to those that start later', async () => {
    const sent: number[] = []
    const server = await loopback(() => {
      const now = performance.now()
      while (sent.length > 0 && sent[0]! <= now - 300) sent.shift()
      if (sent.length >= 30) return { status: 429 }
      sent.push(now)
      return { body: 'fine' }
    })
    const options = { keys: ['value-of-a'] }
    const one = member(server.url, options)
    await Promise.all(Array.from({ length: 200 }, () => one(`${server.url}/`)))
    const [found] = one.pool.keys()[0]!.limits
    expect(found).toMatchObject({ unit: 'requests', learnt: true })
    await pause(1_500)
    const late = member(server.url, options)
    await late(`${server.url}/`)
    expect(late.pool.keys()[0]!.limits).toMatchObject([{ unit: 'requests', learnt: true }])
  })

  it('keys that are added, refreshed or removed later are shared as well', async () => {
    const server = await loopback(({ key }) => ({ body: key }))
    const limits = { requests: 2, per: 60_000 }
    const options = { keys: ['value-of-a'], limits, maxWait: 300, onExhausted: 'respond' as const }
    const [one, other] = [member(server.url, options), member(server.url, options)]
    for (const { pool } of [one, other]) pool.add({ value: 'value-of-c', id: 'c' })
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => [one, other][index % 2]!(`${server.url}/`).then(({ status }) => status)),
    )
    expect(answers.filter(status => status === 200)).toHaveLength(4)
    one.pool.remove('c')
    expect(one.pool.keys()).toHaveLength(1)
  })
})

describe.runIf(hasRedis)('the cache over Redis', () => {
  const fresh = { headers: { 'cache-control': 'max-age=60', 'content-type': 'text/plain' } }

  it('has what another process was answered', async () => {
    const server = await loopback(({ url }) => ({ ...fresh, body: `of ${url}` }))
    const [one, other] = [member(server.url, { cache: true }), member(server.url, { cache: true })]
    expect(await (await one(`${server.url}/x`)).text()).toBe('of /x')
    await pause(50)
    for (let count = 0; count < 3; count++) {
      const again = await other(`${server.url}/x`)
      expect([Number(again.headers.get('age')) < 5, await again.text()]).toEqual([true, 'of /x'])
    }
    expect(server.received).toHaveLength(1)
  })

  it('forgets in all processes what one has changed', async () => {
    let version = 1
    const server = await loopback(({ method }) =>
      method === 'GET' ? { ...fresh, body: `${version}` } : { status: 204 },
    )
    const [one, other] = [member(server.url, { cache: true }), member(server.url, { cache: true })]
    const read = async (fetch: typeof one) => (await fetch(`${server.url}/x`)).text()
    expect([await read(one), await pause(50), await read(other)]).toEqual(['1', undefined, '1'])
    version = 2
    await other(`${server.url}/x`, { method: 'DELETE' })
    await pause(50)
    expect([await read(one), await read(other)]).toEqual(['2', '2'])
  })

  it('does not keep what was asked for before another process changed it, however late it comes', async () => {
    let version = 1
    let release = () => {}
    const held = new Promise<void>(resolve => {
      release = resolve
    })
    const server = await loopback(async ({ method, url }) => {
      if (method !== 'GET') {
        version++
        return { status: 204 }
      }
      const body = `${version}`
      if (url === '/slow' && version === 1) await held
      return { ...fresh, body }
    })
    const [one, other] = [member(server.url, { cache: true }), member(server.url, { cache: true })]
    await (await other(`${server.url}/warm`)).text()
    const late = one(`${server.url}/slow`)
    await vi.waitFor(() => expect(server.received.some(({ url }) => url === '/slow')).toBe(true))
    await other(`${server.url}/slow`, { method: 'DELETE' })
    await pause(50)
    release()
    expect(await (await late).text()).toBe('1')
    await pause(50)
    const read = async (fetch: typeof one) => (await fetch(`${server.url}/slow`)).text()
    expect([await read(one), await read(other)]).toEqual(['2', '2'])
  })

  it('may be kept to each process', async () => {
    const server = await loopback(() => ({ ...fresh, body: 'x' }))
    const of = () => member(server.url, { cache: true }, connect(), { cache: false })
    for (const fetch of [of(), of()]) await (await fetch(`${server.url}/x`)).text()
    expect(server.received).toHaveLength(2)
  })

  it('takes what is damaged for a miss', async () => {
    const server = await loopback(() => ({ ...fresh, body: 'x' }))
    const client = connect()
    const one = member(server.url, { cache: true }, client, { prefix: 'damage:' })
    await (await one(`${server.url}/x`)).text()
    await pause(50)
    const [name] = await client.keys('damage:response:*')
    for (const text of ['nonsense', '', '17 {}', (await client.get(name!))!.slice(0, -9)]) {
      await client.set(name!, text)
      const other = member(server.url, { cache: true }, connect(), { prefix: 'damage:' })
      const before = server.received.length
      expect(await (await other(`${server.url}/x`)).text()).toBe('x')
      expect(server.received).toHaveLength(before + 1)
      await pause(50)
    }
  })
})

describe.runIf(hasRedis)('when Redis fails', () => {
  const limits = { requests: 12, per: 60_000 }
  const ask = (fetch: ReturnType<typeof member>, url: string, count: number) =>
    Promise.all(Array.from({ length: count }, () => fetch(`${url}/`).then(({ status }) => status)))
  const ok = (statuses: number[]) => statuses.filter(status => status === 200).length

  it('no request does: each process goes on with its part, says so once, and is back by itself', async () => {
    const own = await startRedis()
    open.push({ close: () => own.stop() })
    const server = await loopback(() => ({ body: 'fine' }))
    const options = { keys: ['value-of-a'], limits, maxWait: 2_500, onExhausted: 'respond' as const }
    const fleet = [1, 2, 3].map(() => member(server.url, options, connect(own.url)))
    const events = fleet.map(({ pool }) => told(pool, 'sharing-degraded', 'sharing-restored'))
    for (const fetch of fleet) await ask(fetch, server.url, 1)
    await pause(100)
    await own.kill()
    const answers = await Promise.all(fleet.map(fetch => ask(fetch, server.url, 9)))
    // A third of 12 each, of which each has used one.
    expect(answers.map(ok)).toEqual([3, 3, 3])
    expect(events.map(each => each.map(([name]) => name))).toEqual(Array(3).fill(['sharing-degraded']))
    expect(events[0]![0]![1]).toEqual({ error: expect.any(String), processes: 3 })
    await own.restart()
    await vi.waitFor(() => expect(events.map(each => each.at(-1)![0])).toEqual(Array(3).fill('sharing-restored')), {
      timeout: 5_000,
    })
    expect(server.received).toHaveLength(12)
    await pause(300)
    // All of it is in use, as each has said to the Redis that knew nothing.
    expect((await Promise.all(fleet.map(fetch => ask(fetch, server.url, 2)))).map(ok)).toEqual([0, 0, 0])
  }, 20_000)

  it('tells what it could not tell when Redis is back', async () => {
    const own = await startRedis()
    open.push({ close: () => own.stop() })
    const server = await loopback(() => ({ status: 429, headers: { 'retry-after': '60' } }))
    const options = { keys: ['value-of-a'], maxWait: 50, onExhausted: 'respond' as const }
    const [one, other] = [1, 2].map(() => member(server.url, options, connect(own.url)))
    await pause(200)
    await own.kill()
    await pause(100)
    await one!(`${server.url}/`)
    expect(stateOf(other!.pool)).not.toBe('cooling')
    await own.restart()
    await vi.waitFor(() => expect(stateOf(other!.pool)).toBe('cooling'), { timeout: 5_000 })
  }, 20_000)

  it.each([
    ['was never there', async () => connect('redis://127.0.0.1:1')],
    [
      'wants a password',
      async () => {
        const own = await startRedis(['--requirepass', 'right'])
        open.push({ close: () => own.stop() })
        return connect(own.url.replace('redis://', 'redis://:wrong@'))
      },
    ],
    [
      'is out of memory',
      async () => {
        const own = await startRedis(['--maxmemory', '1', '--maxmemory-policy', 'noeviction'])
        open.push({ close: () => own.stop() })
        return connect(own.url)
      },
    ],
    [
      'was closed by the program',
      async () => {
        const client = connect()
        await client.ping()
        client.disconnect()
        return client
      },
    ],
  ])('requests are answered where it %s', async (_, client) => {
    const server = await loopback(() => ({ headers: { 'cache-control': 'max-age=60' }, body: 'fine' }))
    const fetch = member(server.url, { keys: ['value-of-a'], limits, cache: true }, await client(), { processes: 3 })
    const events = told(fetch.pool, 'sharing-degraded', 'sharing-restored')
    expect(await (await fetch(`${server.url}/`)).text()).toBe('fine')
    expect(await (await fetch(`${server.url}/`)).text()).toBe('fine')
    expect(server.received).toHaveLength(1)
    await vi.waitFor(() => expect(events.map(([name]) => name)).toEqual(['sharing-degraded']))
    expect(events[0]![1]).toMatchObject({ processes: 3 })
  })

  it('a process that is idle for a while without Redis keeps its part, and leaves nothing behind in the client', async () => {
    const client = new Redis('redis://127.0.0.1:1', { retryStrategy: () => 50 })
    client.on('error', () => {})
    const server = await loopback(() => ({ body: 'fine' }))
    const fetch = member(server.url, { keys: ['value-of-a'], limits, maxWait: 500 }, client)
    expect(await ask(fetch, server.url, 2)).toEqual([200, 200])
    await pause(3_500)
    expect(await ask(fetch, server.url, 2)).toEqual([200, 200])
    await fetch.close()
    // A command that waits for a connection would be waited for.
    expect(await client.quit()).toBe('OK')
  }, 20_000)

  it('shows keys that nobody uses as ready, with all that there is', async () => {
    const server = await loopback(() => ({ body: 'fine' }))
    const fetch = member(server.url, { keys: ['value-of-a'], limits })
    expect(fetch.pool.keys()[0]).toMatchObject({ state: 'ready', remaining: 12 })
    expect(await fetch.explain(server.url)).toMatchObject({ outcome: 'send', keyId: 'key-1', wait: 0 })
    await ask(fetch, server.url, 1)
    expect(fetch.pool.keys()[0]).toMatchObject({ state: 'ready' })
  })

  it('the end does not wait for a Redis that stands still', async () => {
    const own = await startRedis()
    open.push({ close: () => own.stop() })
    const server = await loopback(() => ({ body: 'fine' }))
    const client = connect(own.url)
    const fetch = member(server.url, { keys: ['value-of-a'], limits }, client)
    await ask(fetch, server.url, 2)
    const admin = connect(own.url)
    await admin.call('CLIENT', 'PAUSE', '20000', 'ALL')
    await fetch.close()
    expect(await Promise.race([client.ping(), pause(10).then(() => 'still')])).toBe('still')
  })

  it('a slow Redis holds up nobody who has permits', async () => {
    const server = await loopback(() => ({ body: 'fine' }))
    const client = connect()
    const fetch = member(server.url, { keys: ['value-of-a'], limits: { requests: 1_000, per: 60_000 } }, client)
    await ask(fetch, server.url, 20)
    await client.call('CLIENT', 'PAUSE', '700', 'ALL')
    const from = performance.now()
    await ask(fetch, server.url, 4)
    const held = performance.now() - from
    await client.ping()
    expect(held).toBeLessThan(performance.now() - from)
    expect(fetch.pool.stats().answered).toBe(24)
  })

  it('forgotten scripts are sent again', async () => {
    const server = await loopback(() => ({ body: 'fine' }))
    const client = connect()
    const fetch = member(server.url, { keys: ['value-of-a'], limits }, client)
    const events = told(fetch.pool, 'sharing-degraded')
    await ask(fetch, server.url, 1)
    await client.call('SCRIPT', 'FLUSH')
    await ask(fetch, server.url, 8)
    expect(events).toEqual([])
  })
})

describe.runIf(hasRedis)('in Redis', () => {
  it('is no value of a key, nor a name of anything', async () => {
    const client = connect()
    const watched = await connect().monitor()
    open.push({ close: () => watched.disconnect() })
    const seen: string[] = []
    watched.on('monitor', (_time: string, args: string[]) => seen.push(args.join(' ')))
    const server = await loopback(({ key, url }) =>
      key === 'value-of-a'
        ? { status: 429, headers: { 'retry-after': '60' } }
        : { headers: { 'cache-control': 'max-age=60' }, body: url },
    )
    const keys = [
      { value: 'value-of-a', group: 'group-of-team' },
      { value: 'value-of-b', group: 'group-of-others' },
    ]
    const options = { keys, cache: true, limits: { requests: 50, per: 60_000 } }
    const fetch = member(server.url, options, client, { prefix: 'mine:' })
    await (await fetch(`${server.url}/path-of-mine?q=word-of-mine`)).text()
    await pause(100)
    const names = (await client.keys('*')).filter(name => name.startsWith('mine:'))
    expect(names.length).toBeGreaterThanOrEqual(3)
    const all = seen.filter(line => line.includes('mine:')).join('\n')
    expect(all).toContain('mine:')
    expect(all).not.toMatch(/value-of|group-of/)
    expect(names.join('\n')).not.toMatch(/value-of|group-of|path-of-mine|word-of-mine/)
  })

  it('all that scripts touch is in one slot of a cluster', async () => {
    const client = connect()
    const run = vi.spyOn(client, 'evalsha')
    const server = await loopback(() => ({ status: 429, headers: { 'retry-after': '60' } }))
    const fetch = member(
      server.url,
      { limits: { requests: 5, per: 1_000 }, maxWait: 500, onExhausted: 'respond' },
      client,
    )
    await fetch(`${server.url}/`)
    await pause(50)
    const tags = run.mock.calls.map(([, count, ...args]) =>
      args.slice(0, count as number).map(name => /\{[^{}]+\}/.exec(String(name))?.[0]),
    )
    expect(tags.some(each => each.length === 2)).toBe(true)
    expect(new Set(tags.flat()).size).toBe(1)
  })

  it('a user that is limited to the prefix is enough', async () => {
    const admin = connect()
    await admin.call(
      'ACL',
      'SETUSER',
      'limited',
      'on',
      '>secret',
      '~mine:*',
      '&mine:*',
      '+@read',
      '+@write',
      '+@scripting',
      '+@pubsub',
      '+@connection',
      '+time',
      '+info',
    )
    const client = connect(redis.url.replace('redis://', 'redis://limited:secret@'))
    const server = await loopback(() => ({ headers: { 'cache-control': 'max-age=60' }, body: 'fine' }))
    const of = () =>
      member(server.url, { limits: { requests: 50, per: 60_000 }, cache: true }, client, { prefix: 'mine:' })
    const fleet = [of(), of()]
    const events = fleet.map(({ pool }) => told(pool, 'sharing-degraded'))
    for (const fetch of fleet) await (await fetch(`${server.url}/`)).text()
    fleet[0]!.pool.disable('key-1')
    await vi.waitFor(() => expect(stateOf(fleet[1]!.pool)).toBe('disabled'))
    expect(events).toEqual([[], []])
  })

  it("ioredis 5 does as well, and its keyPrefix is no harm; the program's client is left open", async () => {
    const server = await loopback(() => ({ body: 'fine' }))
    const client = new Redis5(redis.url, { keyPrefix: 'own:' })
    open.push({ close: () => client.disconnect() })
    const options = {
      keys: ['value-of-a'],
      limits: { requests: 4, per: 60_000 },
      maxWait: 200,
      onExhausted: 'respond' as const,
    }
    const fleet = [1, 2].map(() => member(server.url, options, client as never))
    const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => fleet[index % 2]!(`${server.url}/`)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(4)
    fleet[0]!.pool.disable('key-1')
    await vi.waitFor(() => expect(stateOf(fleet[1]!.pool)).toBe('disabled'))
    for (const fetch of fleet) await fetch.close()
    expect(await client.ping()).toBe('PONG')
  })
})

describe('redisSharing', () => {
  const client = { evalsha() {}, duplicate() {} } as never
  it.each([
    [{}, 'sharing.client'],
    [{ client: 'redis://localhost' }, 'sharing.client'],
    [{ client, prefix: 'a{b}' }, 'sharing.prefix'],
    [{ client, name: '' }, 'sharing.name'],
    [{ client, cache: 'yes' }, 'sharing.cache'],
    [{ client, processes: 0 }, 'sharing.processes'],
    [{ client, prefx: 'x' }, 'sharing.prefx'],
  ])('refuses %j', (options, option) => {
    expect(() => redisSharing(options as never)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_OPTION', option }),
    )
  })

  it('is the only thing that the option takes', () => {
    const options = { origins: 'https://a.example', keys: ['k'], sharing: { client } as never }
    expect(() => wrapFetch(globalThis.fetch, options)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_OPTION', option: 'sharing' }),
    )
  })
})
