import { type CacheEntry, type CacheRecord, wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { recordEvents } from '../helpers/events.js'
import { loopback, type Received, type Reply } from '../helpers/loopback.js'

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))
type Script = (request: Received, count: number) => Reply | Promise<Reply>

async function caching(script: Script, options: Partial<Parameters<typeof wrapFetch>[1]> = {}) {
  const server = await loopback(script)
  const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'], retry: false, ...options })
  const text = async (path: string, init?: RequestInit) => {
    const body = await (await fetch(server.url + path, init)).text()
    await pause(5)
    return body
  }
  return { server, fetch, text }
}

describe('what is stored of one URL', () => {
  it('is not confirmed by another to which a redirect leads', async () => {
    const { server, text } = await caching(({ url, headers }, count) => {
      if (url === '/a' && count > 1) return { status: 302, headers: { location: '/b' } }
      if (headers['if-none-match'] === '"1"') return { status: 304, headers: { etag: '"1"' } }
      return { headers: { etag: '"1"', 'cache-control': 'max-age=0' }, body: `body of ${url}` }
    })
    expect(await text('/a')).toBe('body of /a')
    expect(await text('/a')).toBe('body of /b')
    expect(server.received.map(({ headers }) => headers['if-none-match'])).toEqual([undefined, '"1"', undefined])
  })

  it('is not freshened by HEAD of another to which a redirect leads', async () => {
    const { text } = await caching(({ url, method }) => {
      if (method === 'HEAD' && url === '/a') return { status: 302, headers: { location: '/b' } }
      const headers = { 'cache-control': url === '/b' ? 'max-age=600' : 'max-age=0', 'x-of': url }
      return { headers: { ...headers, 'last-modified': 'Sun, 06 Sep 2020 12:00:00 GMT' }, body: `of ${url}` }
    })
    await text('/a')
    await text('/a', { method: 'HEAD' })
    expect(await text('/a')).toBe('of /a')
  })

  it('is served by what it varies by, also where that is told by a 304 only', async () => {
    const { text, server } = await caching(({ headers }) =>
      headers['if-none-match']
        ? { status: 304, headers: { etag: '"1"', vary: 'accept-language', 'cache-control': 'max-age=60' } }
        : { headers: { etag: '"1"', 'cache-control': 'max-age=0' }, body: `in ${headers['accept-language']}` },
    )
    const ask = (language: string) => text('/', { headers: { 'accept-language': language } })
    await ask('en')
    expect(await ask('en')).toBe('in en')
    expect(await ask('de')).toBe('in de')
    expect(server.received).toHaveLength(3)
  })

  it.each([428, 429, 431, 511])('is no answer to one request at one time: %i', async status => {
    const { text, server } = await caching(
      (_, count) => ({
        status: count === 1 ? status : 200,
        headers: { 'cache-control': 'max-age=60' },
        body: `${count}`,
      }),
      { onExhausted: 'respond', maxWait: 0, keys: ['a'] },
    )
    await text('/')
    await pause(300)
    await text('/')
    expect(server.received.length).toBeGreaterThan(1)
  })

  it('is not a refusal of a range that was asked for anew', async () => {
    const { text } = await caching(({ headers }) =>
      headers.range
        ? { status: 416, headers: { 'cache-control': 'max-age=60' } }
        : { headers: { 'cache-control': 'max-age=60' }, body: 'whole' },
    )
    await text('/', { cache: 'reload', headers: { range: 'bytes=90-' } })
    expect(await text('/')).toBe('whole')
  })

  it('does not stand in for an error where the caller wants nothing but what was validated', async () => {
    const { fetch, server } = await caching((_, count) => ({
      status: count === 1 ? 200 : 500,
      headers: { 'cache-control': 'max-age=60, stale-if-error=600', etag: '"1"' },
    }))
    await (await fetch(server.url)).text()
    expect((await fetch(server.url, { cache: 'no-cache' })).status).toBe(500)
  })
})

describe('what has been changed', () => {
  it('is out of date at once, however long the store takes to forget it', async () => {
    const records = new Map<string, CacheRecord>()
    const store = {
      get: (key: string) => records.get(key),
      set: (key: string, record: CacheRecord) => void records.set(key, record),
      delete: async (key: string) => {
        await pause(60)
        records.delete(key)
      },
    }
    let version = 1
    const { fetch, server } = await caching(
      ({ method }) => ({ headers: { 'cache-control': 'max-age=60' }, body: method === 'GET' ? `v${version}` : '' }),
      { cache: { store } },
    )
    await (await fetch(server.url)).text()
    await pause(10)
    version = 2
    await fetch(server.url, { method: 'POST' })
    expect(await (await fetch(server.url)).text()).toBe('v2')
  })

  it('is out of date by a POST too that the cache is not for', async () => {
    const { text, server } = await caching(() => ({ headers: { 'cache-control': 'max-age=60' } }), {
      cache: { methods: ['GET', 'POST'], only: ({ method }) => method === 'GET' },
    })
    await text('/')
    await text('/', { method: 'POST', body: 'x' })
    await text('/')
    expect(server.received).toHaveLength(3)
  })

  it('is out of date where a redirect has led the change', async () => {
    const { text, server } = await caching(({ method, url }) =>
      method === 'PUT' && url === '/a'
        ? { status: 307, headers: { location: '/b' } }
        : { headers: { 'cache-control': 'max-age=60' } },
    )
    await text('/b')
    await text('/a', { method: 'PUT', body: 'x' })
    await text('/b')
    expect(server.received.map(({ method }) => method)).toEqual(['GET', 'PUT', 'PUT', 'GET'])
  })

  it('is not brought back by a POST whose answer came after a later change', async () => {
    const { fetch, server, text } = await caching(({ method, url }) => ({
      delay: method === 'POST' ? 60 : 0,
      headers: { 'cache-control': 'max-age=60', ...(method === 'POST' && { 'content-location': url }) },
      body: method,
    }))
    const posted = fetch(`${server.url}/x`, { method: 'POST', body: 'x' })
    await pause(20)
    await text('/x', { method: 'PUT', body: 'y' })
    await (await posted).text()
    await pause(10)
    expect(await text('/x')).toBe('GET')
  })
})

describe('equal calls at once', () => {
  const three = async (headers: Record<string, string>) => {
    const { fetch, server } = await caching((_, count) => ({ delay: 30, headers, body: `${count}` }))
    await Promise.all(Array.from({ length: 3 }, async () => (await fetch(server.url)).text()))
    return server.received.length
  }

  it('share what may serve them all, and nothing that says that it must be validated or is stale', async () => {
    expect(await three({ 'cache-control': 'max-age=60' })).toBe(1)
    expect(await three({})).toBe(1)
    expect(await three({ 'cache-control': 'no-cache', etag: '"1"' })).toBe(3)
    expect(await three({ 'cache-control': 'max-age=0, must-revalidate', etag: '"1"' })).toBe(3)
    expect(await three({ 'cache-control': 'max-age=0', etag: '"1"' })).toBe(3)
    expect(await three({ 'cache-control': 'no-store' })).toBe(3)
  })

  it('fail at once together, not one after another', async () => {
    let most = 0
    let now = 0
    const failing = async () => {
      most = Math.max(most, ++now)
      await pause(40)
      now--
      return (response: { destroy(): unknown }) => void response.destroy()
    }
    const { fetch, server } = await caching(failing, { limits: { requests: 1_000, per: '1s' } })
    const all = await Promise.allSettled(Array.from({ length: 10 }, () => fetch(server.url)))
    expect(all.every(({ status }) => status === 'rejected')).toBe(true)
    // The first by itself, then all the others.
    expect(most).toBe(9)
  })

  it('wait no longer than maxWait, the time in which they waited for one another included', async () => {
    const { fetch, server } = await caching(() => response => void response.write('on and on'), {
      limits: { concurrency: 1 },
      keys: ['a'],
      maxWait: 400,
    })
    const events = recordEvents(fetch)
    const held = await fetch(`${server.url}/held`)
    const errors = await Promise.all(
      Array.from({ length: 5 }, () => fetch(`${server.url}/x`).catch((error: { code?: string }) => error.code)),
    )
    expect(new Set(errors)).toEqual(new Set(['ERR_POOL_EXHAUSTED']))
    // One after the other they would have waited five times as long.
    const waited = events.of('request-finished').map(event => event.waited)
    expect(Math.max(...waited) / 400).toBeLessThan(3)
    await held.body!.cancel()
  })

  it('do not hang on a body that comes to a stop', async () => {
    const { fetch, server } = await caching(() => response => {
      response.writeHead(200, { 'content-length': '10', 'cache-control': 'max-age=60' })
      response.write('abc')
    })
    const [first, second] = await Promise.all([fetch(server.url), fetch(server.url)])
    expect([first.status, second.status]).toEqual([200, 200])
    await Promise.all([first.body!.cancel(), second.body!.cancel()])
  })

  it('revalidate once in the background, whatever else tells them apart', async () => {
    const { fetch, server, text } = await caching((_, count) => ({
      delay: count > 1 ? 50 : 0,
      headers: { 'cache-control': 'max-age=0, stale-while-revalidate=60' },
    }))
    await text('/')
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => fetch(`${server.url}/`, { headers: { 'x-request-id': `${index}` } })),
    )
    await pause(80)
    expect(server.received).toHaveLength(2)
  })
})

describe('tenants by group', () => {
  it('do not hear of each other by HEAD that was passed on', async () => {
    let limited = false
    const { text, server, fetch } = await caching(
      ({ key, method }) =>
        method === 'HEAD' && key === 'a' && limited
          ? { status: 429, headers: { 'retry-after': '0.05' } }
          : { headers: { 'cache-control': method === 'HEAD' ? 'max-age=600' : 'max-age=0', 'x-of': key }, body: key },
      {
        keys: [
          { value: 'a', group: 'a' },
          { value: 'b', group: 'b' },
        ],
        strategy: 'fill-first',
        cache: { tenants: 'group' },
      },
    )
    expect(await text('/')).toBe('a')
    limited = true
    await text('/', { method: 'HEAD' })
    await pause(200)
    expect((await fetch(`${server.url}/`)).headers.get('x-of')).toBe('a')
    expect(server.received.at(-1)).toMatchObject({ method: 'GET', key: 'a' })
  })

  it('are not taken for one another by their names', async () => {
    const { text } = await caching(({ key }) => ({ headers: { 'cache-control': 'max-age=60' }, body: key }), {
      keys: [
        { value: 'one', id: 'b' },
        { value: 'two', group: 'key b' },
      ],
      strategy: 'round-robin',
      cache: { tenants: 'group' },
    })
    expect(new Set([await text('/'), await text('/', { cache: 'reload' })])).toEqual(new Set(['one', 'two']))
  })
})

describe('a store', () => {
  const entry = (over: object): CacheEntry[] => [
    {
      ...{
        variant: '',
        vary: [],
        status: 200,
        statusText: 'OK',
        headers: [],
        url: 'http://x/',
        body: new Uint8Array(1),
      },
      ...{ receivedAt: Date.now(), initialAge: 0, lifetime: 60_000, revalidate: 'may-be-stale' as const },
      ...{ staleWhileRevalidate: 0, staleIfError: 0, keyId: null },
      ...over,
    },
  ]

  it.each([
    [{ status: 0 }],
    [{ status: 20 }],
    [{ status: 1000 }],
    [{ headers: [['a b', 'x']] }],
    [{ headers: [['a', 'x\ny']] }],
    [{ vary: ['a b'] }],
    [{ initialAge: -1e15 }],
    [{ lifetime: Number.NaN }],
  ])('that gives back an entry with %j is a miss, and is told to delete it', async over => {
    const deleted: string[] = []
    const store = {
      get: () => entry(over),
      set() {},
      delete: (key: string) => void deleted.push(key),
    }
    const { text } = await caching(() => ({ body: 'new' }), { cache: { store } })
    expect(await text('/')).toBe('new')
    expect(deleted).toHaveLength(1)
  })

  it('gets no name with a key’s value in it, wherever the caller has put that', async () => {
    const names: string[] = []
    const store = { get: (key: string) => void names.push(key), set() {}, delete() {} }
    const { text } = await caching(() => ({}), { keys: ['sk-secret-of-the-pool'], cache: { store } })
    await text('/a?token=sk-secret-of-the-pool&q=1')
    expect(names.join()).toContain('q=1')
    expect(names.join()).not.toContain('secret')
  })
})

describe('aborts', () => {
  it('end a call whose body is read for its name', async () => {
    const { fetch, server } = await caching(() => ({}), { cache: { methods: ['GET', 'POST'] } })
    const controller = new AbortController()
    const body = new ReadableStream({ pull: () => new Promise(() => {}) })
    const request = new Request(server.url, {
      method: 'POST',
      body,
      duplex: 'half',
      signal: controller.signal,
    } as RequestInit)
    setTimeout(() => controller.abort('mine'), 20)
    await expect(fetch(request)).rejects.toBe('mine')
  })

  it('in a function of the program’s that fails after them leave no rejection unhandled', async () => {
    const unhandled: unknown[] = []
    const listen = (reason: unknown) => void unhandled.push(reason)
    process.on('unhandledRejection', listen)
    const controller = new AbortController()
    const { fetch, server } = await caching(() => ({}), {
      auth: async () => {
        controller.abort('mine')
        throw new Error('late')
      },
    })
    await expect(fetch(server.url, { signal: controller.signal })).rejects.toBe('mine')
    await pause(20)
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
  })
})
