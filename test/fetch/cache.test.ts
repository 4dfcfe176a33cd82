import { type CacheRecord, type CacheStore, wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { recordEvents } from '../helpers/events.js'
import { type Loopback, loopback, type Received, type Reply } from '../helpers/loopback.js'

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))
type CacheSetting = NonNullable<Parameters<typeof wrapFetch>[1]['cache']>

async function cached(
  script: (request: Received, count: number) => Reply | Promise<Reply>,
  cache: CacheSetting = true,
  keys = ['a'],
) {
  const server: Loopback = await loopback(script)
  const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys, cache, retry: false })
  const events = recordEvents(fetch)
  const text = async (path: string, init?: RequestInit) => (await fetch(server.url + path, init)).text()
  return { server, fetch, events, text }
}

const fresh = (headers: Record<string, string> = {}) => ({ 'cache-control': 'max-age=60', ...headers })

describe('the cache', () => {
  it('answers a repeated GET while it is fresh, and says so', async () => {
    const { server, fetch, events } = await cached((_, count) => ({
      // The server's own field may be a second old: it is made once for all answers of a second, or later.
      headers: fresh({ 'x-own': 'yes', date: new Date(Date.now() + 1_000).toUTCString() }),
      body: `answer ${count}`,
    }))
    await (await fetch(`${server.url}/x`)).text()
    const hit = await fetch(`${server.url}/x#part`)
    expect(hit).toMatchObject({ status: 200, ok: true, redirected: false, type: 'basic', url: `${server.url}/x` })
    expect(hit.headers.get('age')).toBe('0')
    expect(hit.headers.get('x-own')).toBe('yes')
    expect(await hit.text()).toBe('answer 1')
    expect(hit.clone.length).toBe(0)
    expect(server.received).toHaveLength(1)
    expect(events.of('cache-hit')).toEqual([
      { callId: expect.any(String), method: 'GET', url: `${server.url}/x`, age: 0, how: 'fresh' },
    ])
    expect(events.of('cache-missed')).toEqual([
      { callId: expect.any(String), method: 'GET', url: `${server.url}/x`, why: 'absent' },
    ])
    expect(events.of('request-finished').map(({ fromCache }) => fromCache)).toEqual([false, true])
    expect(fetch.pool.stats().cache).toMatchObject({ hits: 1, misses: 1 })
  })

  it('is one for all keys of the pool, even where responses vary by Authorization', async () => {
    const { server, text } = await cached(
      ({ key }) => ({ headers: fresh({ vary: 'Authorization' }), body: key }),
      true,
      ['a', 'b'],
    )
    expect(await text('/x')).toBe('a')
    expect(await text('/x')).toBe('a')
    expect(await text('/x', { headers: { authorization: 'Bearer unused' } })).toBe('a')
    expect(server.received).toHaveLength(1)
  })

  it('keeps apart what callers get with credentials of their own', async () => {
    const { text } = await cached(({ headers }) => ({ headers: fresh(), body: `for ${headers.cookie ?? 'nobody'}` }))
    expect(await text('/x', { headers: { cookie: 'u=1' } })).toBe('for u=1')
    expect(await text('/x', { headers: { cookie: 'u=2' } })).toBe('for u=2')
    expect(await text('/x')).toBe('for nobody')
    expect(await text('/x', { headers: { cookie: 'u=1' } })).toBe('for u=1')
  })

  it('keeps variants apart that Vary names', async () => {
    const { server, text } = await cached(({ headers }) => ({
      headers: fresh({ vary: 'Accept-Language' }),
      body: headers['accept-language']!,
    }))
    for (const language of ['de', 'en', 'de', 'en'])
      expect(await text('/x', { headers: { 'accept-language': language } })).toBe(language)
    expect(server.received).toHaveLength(2)
  })

  it('stores nothing that says no-store, errors that say nothing, or what varies by everything', async () => {
    const headers: Record<string, string>[] = [{ 'cache-control': 'no-store' }, fresh({ vary: '*' }), {}]
    for (const each of headers) {
      const { server, text } = await cached(() => ({ headers: each }))
      await text('/x')
      await text('/x')
      expect(server.received).toHaveLength(2)
    }
    const { server, text } = await cached(() => ({ status: 500 }))
    await text('/x')
    await text('/x')
    expect(server.received).toHaveLength(2)
  })

  it('takes a ttl for responses that say nothing of their freshness, and only for those', async () => {
    const { server, text } = await cached(
      ({ url }) =>
        url === '/own' ? { headers: { 'cache-control': 'max-age=0' } } : { status: url === '/bad' ? 400 : 200 },
      { ttl: '1m' },
    )
    for (const path of ['/x', '/x', '/own', '/own', '/bad', '/bad']) await text(path)
    expect(server.received.map(({ url }) => url)).toEqual(['/x', '/own', '/own', '/bad', '/bad'])
  })

  it('revalidates with validators, with the key that earned them', async () => {
    const { server, text, events } = await cached(
      ({ headers, key }) =>
        headers['if-none-match'] === '"v1"'
          ? { status: 304, headers: { 'x-new': key } }
          : { headers: { etag: '"v1"', 'cache-control': 'no-cache' }, body: 'content' },
      true,
      ['a', 'b', 'c'],
    )
    expect(await text('/x')).toBe('content')
    expect(await text('/x')).toBe('content')
    expect(await text('/x')).toBe('content')
    expect(server.keys()).toEqual(['a', 'a', 'a'])
    expect(events.of('cache-hit').map(({ how }) => how)).toEqual(['revalidated', 'revalidated'])
  })

  it('takes over what a 304 says anew', async () => {
    const { server, fetch } = await cached(({ headers }, count) =>
      headers['if-none-match']
        ? { status: 304, headers: { etag: '"v1"', 'x-count': String(count), 'cache-control': 'max-age=60' } }
        : { headers: { etag: '"v1"', 'x-count': '1', 'cache-control': 'max-age=0' }, body: 'content' },
    )
    await (await fetch(server.url)).text()
    expect((await fetch(server.url)).headers.get('x-count')).toBe('2')
    const third = await fetch(server.url)
    expect(third.headers.get('x-count')).toBe('2')
    expect(await third.text()).toBe('content')
    expect(server.received).toHaveLength(2)
  })

  it('serves stale while it revalidates in the background', async () => {
    const { server, text, events } = await cached((_, count) => ({
      headers: { 'cache-control': 'max-age=0, stale-while-revalidate=60' },
      body: `answer ${count}`,
    }))
    expect(await text('/x')).toBe('answer 1')
    expect(await text('/x')).toBe('answer 1')
    await pause(50)
    expect(await text('/x')).toBe('answer 2')
    expect(server.received.length).toBeGreaterThanOrEqual(2)
    expect(events.of('cache-hit').map(({ how }) => how)).toEqual(['stale', 'stale'])
  })

  it('serves stale when the server fails, where it may', async () => {
    const { text } = await cached((_, count) =>
      count === 1
        ? { headers: { 'cache-control': 'max-age=0, stale-if-error=60' }, body: 'good' }
        : { status: 500, body: 'bad' },
    )
    expect(await text('/x')).toBe('good')
    expect(await text('/x')).toBe('good')
    const strict = await cached(
      (_, count) =>
        count === 1
          ? { headers: { 'cache-control': 'max-age=0, must-revalidate' }, body: 'good' }
          : { status: 500, body: 'bad' },
      { staleIfError: '1h' },
    )
    expect(await strict.text('/x')).toBe('good')
    expect(await strict.text('/x')).toBe('bad')
  })

  it('serves stale when every key is exhausted, also where nothing could confirm it', async () => {
    const server = await loopback((_, count) =>
      count === 1 ? { body: 'good' } : { status: 429, headers: { 'retry-after': '600' } },
    )
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], maxWait: 10, cache: { ttl: 30 } })
    expect(await (await fetch(server.url)).text()).toBe('good')
    await pause(60)
    for (let index = 0; index < 2; index++) expect(await (await fetch(server.url)).text()).toBe('good')
    expect(server.received).toHaveLength(2)
  })

  it('serves stale when every key is exhausted', async () => {
    for (const onExhausted of ['throw', 'respond'] as const) {
      const server = await loopback((_, count) =>
        count === 1
          ? { headers: { 'cache-control': 'max-age=0', etag: '"1"' }, body: 'good' }
          : { status: 429, headers: { 'retry-after': '600' } },
      )
      const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], maxWait: 10, onExhausted })
      for (let index = 0; index < 3; index++) expect(await (await fetch(server.url)).text()).toBe('good')
      expect(server.received).toHaveLength(2)
    }
  })

  it('forgets a URL when an unsafe method succeeds on it', async () => {
    const { server, text } = await cached(({ method }, count) =>
      method === 'POST' ? { status: 201, headers: { location: '/made' } } : { headers: fresh(), body: `${count}` },
    )
    await text('/x')
    await text('/made')
    await text('/x', { method: 'POST', body: 'b' })
    expect(await text('/x')).toBe('4')
    expect(await text('/made')).toBe('5')
    expect(server.received).toHaveLength(5)
  })

  it('caches POST by a hash of its body where the user says so', async () => {
    const { server, text } = await cached(({ body }, count) => ({ body: `${body} ${count}` }), {
      methods: ['GET', 'POST'],
      ttl: '1m',
    })
    const post = (body: BodyInit) => text('/embed', { method: 'POST', body })
    expect(await post('one')).toBe('one 1')
    expect(await post('two')).toBe('two 2')
    expect(await post('one')).toBe('one 1')
    expect(await post(new TextEncoder().encode('one'))).toBe('one 3')
    expect(server.received).toHaveLength(3)
    const request = () => new Request(`${server.url}/embed`, { method: 'POST', body: 'three' })
    const { fetch } = await cached(() => ({}))
    await fetch.close()
    expect(await text('/embed', { method: 'POST', body: await request().text() })).toBe('three 4')
  })

  it('can be told which requests it is for', async () => {
    const { server, text } = await cached(() => ({ headers: fresh() }), { only: ({ url }) => url.endsWith('/yes') })
    for (const path of ['/yes', '/yes', '/no', '/no']) await text(path)
    expect(server.received.map(({ url }) => url)).toEqual(['/yes', '/no', '/no'])
  })

  it('heeds the cache modes of fetch and the request’s own Cache-Control', async () => {
    const { server, text, fetch } = await cached((_, count) => ({ headers: fresh(), body: `${count}` }))
    expect(await text('/x')).toBe('1')
    expect(await text('/x', { cache: 'no-store' })).toBe('2')
    expect(await text('/x')).toBe('1')
    expect(await text('/x', { cache: 'reload' })).toBe('3')
    expect(await text('/x')).toBe('3')
    expect(await text('/x', { headers: { 'cache-control': 'no-cache' } })).toBe('4')
    expect(await text('/x', { cache: 'force-cache' })).toBe('4')
    expect(await text('/x', { headers: { 'cache-control': 'max-age=0' } })).toBe('5')
    expect((await fetch(`${server.url}/none`, { headers: { 'cache-control': 'only-if-cached' } })).status).toBe(504)
  })

  it('leaves a caller’s own conditional request alone', async () => {
    const { fetch, server } = await cached(({ headers }) =>
      headers['if-none-match'] ? { status: 304 } : { headers: fresh({ etag: '"1"' }), body: 'x' },
    )
    await (await fetch(server.url)).text()
    expect((await fetch(server.url, { headers: { 'if-none-match': '"1"' } })).status).toBe(304)
  })

  it('stores nothing that was cut short', async () => {
    const { text, fetch, server } = await cached((_, count) =>
      count === 1
        ? response => {
            response.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': '100' })
            response.write('half')
            setTimeout(() => response.destroy(), 20)
          }
        : { headers: fresh(), body: 'whole' },
    )
    await expect((await fetch(`${server.url}/x`)).text()).rejects.toBeInstanceOf(TypeError)
    expect(await text('/x')).toBe('whole')
  })

  it('does not hold a streaming body back', async () => {
    let finish = () => {}
    const { fetch, server } = await cached(() => response => {
      response.writeHead(200, { 'cache-control': 'max-age=60' })
      response.write('first')
      finish = () => response.end(' last')
    })
    const response = await fetch(server.url)
    const reader = response.body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('first')
    finish()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe(' last')
    expect((await reader.read()).done).toBe(true)
    expect(await (await fetch(server.url)).text()).toBe('first last')
    expect(server.received).toHaveLength(1)
  })

  it('lets a body stream by that is too large to store', async () => {
    const large = 'x'.repeat(300_000)
    const { text, server } = await cached(() => ({ headers: fresh(), body: large }), { maxBodyBytes: 1000 })
    expect(await text('/x')).toBe(large)
    expect(await text('/x')).toBe(large)
    expect(server.received).toHaveLength(2)
    const chunked = await cached(
      () => response => {
        response.writeHead(200, fresh())
        for (let index = 0; index < 30; index++) response.write(large.slice(0, 10_000))
        response.end()
      },
      { maxBodyBytes: 1000 },
    )
    expect(await chunked.text('/x')).toBe(large)
    await chunked.text('/x')
    expect(chunked.server.received).toHaveLength(2)
  })

  it('is bounded', async () => {
    const { text, server } = await cached(({ url }) => ({ headers: fresh(), body: url }), { maxEntries: 2 })
    for (const path of ['/1', '/2', '/3', '/3', '/1']) await text(path)
    expect(server.received.map(({ url }) => url)).toEqual(['/1', '/2', '/3', '/1'])
  })

  it('is bounded by bytes too', async () => {
    const body = 'x'.repeat(4_000)
    const { text, server } = await cached(() => ({ headers: fresh(), body }), { maxBytes: 10_000 })
    for (const path of ['/1', '/2', '/3', '/3', '/1']) await text(path)
    expect(server.received.map(({ url }) => url)).toEqual(['/1', '/2', '/3', '/1'])
  })

  it('off is off', async () => {
    const { text, server, events } = await cached(() => ({ headers: fresh() }), false)
    await text('/x')
    await text('/x')
    expect(server.received).toHaveLength(2)
    expect(events.of('cache-missed')).toEqual([])
  })
})

describe('the cache is not fooled', () => {
  it('by redirects: each request follows them anew, and sees them where it asks to', async () => {
    let target = '/v1'
    const { server, fetch, text } = await cached(({ url }) =>
      url === '/latest'
        ? { status: 302, headers: { location: target, 'cache-control': 'max-age=60' } }
        : { headers: fresh(), body: url },
    )
    expect(await text('/latest')).toBe('/v1')
    target = '/v2'
    expect(await text('/latest')).toBe('/v2')
    expect((await fetch(`${server.url}/latest`, { redirect: 'manual' })).status).toBe(302)
    await expect(fetch(`${server.url}/latest`, { redirect: 'error' })).rejects.toBeInstanceOf(TypeError)
    expect(await text('/latest')).toBe('/v2')
  })

  it('by a caller’s own condition, in any mode', async () => {
    let version = '1'
    const { text, fetch, server } = await cached(({ headers }) =>
      headers['if-none-match'] === `"${version}"`
        ? { status: 304, headers: { etag: `"${version}"` } }
        : { headers: { etag: `"${version}"`, 'cache-control': 'max-age=60' }, body: version },
    )
    expect(await text('/')).toBe('1')
    version = '2'
    const response = await fetch(`${server.url}/`, { cache: 'no-cache', headers: { 'if-none-match': '"2"' } })
    expect(response.status).toBe(304)
    expect(await text('/', { cache: 'no-cache' })).toBe('2')
  })

  it('by an answer that was on its way when the resource changed', async () => {
    let value = 'old'
    const { text } = await cached(async ({ method }) => {
      if (method === 'POST') {
        value = 'new'
        return {}
      }
      const body = value
      await pause(80)
      return { headers: fresh(), body }
    })
    const early = text('/x')
    await pause(20)
    await text('/x', { method: 'POST' })
    expect(await early).toBe('old')
    expect(await text('/x')).toBe('new')
  })

  it('by integrity: what is checked comes from the server', async () => {
    const { text, fetch, server } = await cached(() => ({ headers: fresh(), body: 'x' }))
    await text('/x')
    await expect(fetch(`${server.url}/x`, { integrity: 'sha256-AAAA' })).rejects.toBeInstanceOf(TypeError)
  })

  it.each([{}, 'text', [{}], [null], [{ status: 200 }]])('by a store that gives back %j', async nonsense => {
    const deleted: string[] = []
    const store: CacheStore = { get: () => nonsense as never, set: () => {}, delete: key => deleted.push(key) }
    const { text, fetch } = await cached(() => ({ headers: fresh(), body: 'fine' }), { store })
    expect(await text('/x')).toBe('fine')
    expect(fetch.pool.stats().cache.storeErrors).toBeGreaterThan(0)
    await pause(5)
    expect(deleted.length).toBeGreaterThan(0)
  })

  it('by a key that the server puts into its fields', async () => {
    const records = new Map<string, unknown>()
    const store: CacheStore = { get: () => undefined, set: (key, record) => records.set(key, record), delete: () => {} }
    const server = await loopback(({ url }) => ({ headers: fresh({ link: `<${url}&page=2>; rel=next` }) }))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a-secret-value'],
      auth: { query: 'key' },
      cache: { store },
    })
    await (await fetch(`${server.url}/x`)).text()
    await pause(10)
    expect(records.size).toBe(1)
    expect(JSON.stringify([...records])).not.toContain('a-secret-value')
  })

  it('by variants that are stored at the same time', async () => {
    const records = new Map<string, CacheRecord>()
    const store: CacheStore = {
      get: async key => {
        await pause(5)
        return records.get(key)
      },
      set: async (key, record) => {
        await pause(5)
        records.set(key, record)
      },
      delete: async key => records.delete(key),
    }
    const { text } = await cached(
      ({ headers }) => ({ headers: fresh({ vary: 'accept-language' }), body: headers['accept-language']! }),
      { store },
    )
    await Promise.all(
      ['de', 'en', 'fr', 'it'].map(language => text('/x', { headers: { 'accept-language': language } })),
    )
    await pause(100)
    expect([...records.values()][0]).toHaveLength(4)
  })
})

describe('equal GETs in flight', () => {
  it('are one call, also where nothing says how fresh the answer is', async () => {
    const { server, text, events } = await cached((_, count) => ({ delay: 50, body: `answer ${count}` }))
    expect(await Promise.all(Array.from({ length: 10 }, () => text('/x')))).toEqual(Array(10).fill('answer 1'))
    expect(server.received).toHaveLength(1)
    expect(events.of('cache-hit').filter(({ how }) => how === 'joined')).toHaveLength(9)
    expect(await text('/x')).toBe('answer 2')
  })

  it('go on by themselves when the answer is not to be shared, or never comes', async () => {
    const unshared = await cached(() => ({ delay: 30, headers: { 'cache-control': 'no-store' } }))
    await Promise.all([unshared.text('/x'), unshared.text('/x')])
    expect(unshared.server.received).toHaveLength(2)
    const { server, fetch } = await cached((_, count) => (count === 1 ? { delay: 5_000 } : { body: 'mine' }))
    const controller = new AbortController()
    const first = fetch(server.url, { signal: controller.signal })
    while (server.received.length === 0) await pause(5)
    const second = fetch(server.url)
    await pause(10)
    controller.abort()
    await expect(first).rejects.toMatchObject({ name: 'AbortError' })
    expect(await (await second).text()).toBe('mine')
  })

  it('are two calls, not a hundred, when the first is aborted', async () => {
    const { server, fetch } = await cached((_, count) =>
      count === 1 ? { delay: 5_000 } : { delay: 30, body: 'shared' },
    )
    const controller = new AbortController()
    const first = fetch(server.url, { signal: controller.signal })
    while (server.received.length === 0) await pause(5)
    const others = Array.from({ length: 50 }, () => fetch(server.url))
    await pause(20)
    controller.abort()
    await expect(first).rejects.toMatchObject({ name: 'AbortError' })
    for (const response of await Promise.all(others)) expect(await response.text()).toBe('shared')
    expect(server.received).toHaveLength(2)
  })

  it('do not wait for the end of a body that may have none', async () => {
    const { server, fetch } = await cached(() => response => {
      response.writeHead(200, { 'content-type': 'text/plain' })
      response.write('and so on')
    })
    const first = await Promise.all([fetch(server.url), fetch(server.url)])
    expect(first.map(({ status }) => status)).toEqual([200, 200])
    expect(server.received).toHaveLength(2)
    for (const response of first) await response.body!.cancel()
  })

  it('are told apart by what they say', async () => {
    const { server, text } = await cached(({ headers }) => ({ delay: 30, body: headers['accept-language'] ?? '' }))
    const language = (name: string) => text('/x', { headers: { 'accept-language': name } })
    expect(await Promise.all([language('de'), language('en')])).toEqual(['de', 'en'])
    expect(server.received).toHaveLength(2)
  })

  it('end one by one when their callers abort', async () => {
    const { server, fetch } = await cached(() => ({ delay: 100, body: 'shared' }))
    const first = fetch(server.url)
    await pause(10)
    const controller = new AbortController()
    const second = fetch(server.url, { signal: controller.signal })
    await pause(10)
    controller.abort('mine')
    await expect(second).rejects.toBe('mine')
    expect(await (await first).text()).toBe('shared')
  })
})

describe('a store of the user’s own', () => {
  it('may answer later, and is handed plain data without secrets', async () => {
    const records = new Map<string, string>()
    const store: CacheStore = {
      async get(key) {
        const json = records.get(key)
        return json === undefined ? undefined : revive(json)
      },
      async set(key, record, ttl) {
        expect(ttl).toBeGreaterThan(0)
        records.set(
          key,
          JSON.stringify(record, (name, value) => (name === 'body' && value ? [...value] : value)),
        )
      },
      async delete(key) {
        records.delete(key)
      },
    }
    const { server, text } = await cached(() => ({ headers: fresh(), body: 'kept' }), { store }, [
      'secret-key-of-the-pool',
    ])
    await text('/x')
    await pause(10)
    expect(await text('/x')).toBe('kept')
    expect(server.received).toHaveLength(1)
    expect(JSON.stringify([...records])).not.toContain('secret-key')
  })

  it('that fails costs the cache, and nothing else', async () => {
    const fail = async () => {
      throw new Error('store is down')
    }
    const { text, fetch } = await cached(() => ({ headers: fresh(), body: 'fine' }), {
      store: { get: fail, set: fail, delete: fail },
    })
    expect(await text('/x')).toBe('fine')
    expect(await text('/x', { method: 'POST' })).toBe('fine')
    await pause(10)
    expect(fetch.pool.stats().cache.storeErrors).toBeGreaterThanOrEqual(3)
  })
})

function revive(json: string): CacheRecord {
  return JSON.parse(json, (name, value) => (name === 'body' && value ? new Uint8Array(value) : value))
}
