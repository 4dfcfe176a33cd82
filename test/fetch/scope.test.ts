import { KeypoolError, wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { recordEvents } from '../helpers/events.js'
import { loopback } from '../helpers/loopback.js'

const ask = (model: string): RequestInit => ({ method: 'POST', body: JSON.stringify({ model, messages: [] }) })
const limited = (wait: string) => ({ status: 429, headers: { 'retry-after': wait } })

describe('a limit of one model', () => {
  it('rests the key for that model only', async () => {
    const server = await loopback(({ key, body }) => (key === 'a' && body.includes('large') ? limited('30') : {}))
    const fetch = wrapFetch(globalThis.fetch, {
      provider: 'openai',
      origins: server.url,
      keys: ['a', 'b'],
      strategy: 'fill-first',
    })
    const events = recordEvents(fetch)
    for (const model of ['large', 'small', 'large', 'small']) await fetch(server.url, ask(model))
    expect(server.received.map(({ key, body }) => key + JSON.parse(body).model)).toEqual([
      'alarge',
      'blarge',
      'asmall',
      'blarge',
      'asmall',
    ])
    expect(events.of('key-exhausted')).toMatchObject([{ keyId: 'key-1', scope: 'model', part: 'large' }])
    expect(fetch.pool.keys()[0]).toMatchObject({
      state: 'ready',
      parts: [
        { name: 'large', state: 'cooling', cause: 'rate-limit' },
        { name: 'small', state: 'ready', cause: null },
      ],
    })
  })

  it('lets requests for it wait, while others go past them, and says when the key is back', async () => {
    let refuse = true
    const server = await loopback(({ body }) => {
      if (!body.includes('large') || !refuse) return {}
      refuse = false
      return { status: 429, headers: { 'retry-after-ms': '150' } }
    })
    const fetch = wrapFetch(globalThis.fetch, { provider: 'openai', origins: server.url, keys: ['a'] })
    const events = recordEvents(fetch)
    const order: string[] = []
    const call = (model: string) => fetch(server.url, ask(model)).then(() => order.push(model))
    const large = call('large')
    await new Promise(resolve => fetch.pool.once('key-exhausted', resolve))
    await Promise.all([call('small'), large, call('small')])
    expect(order).toEqual(['small', 'small', 'large'])
    expect(events.of('key-recovered')).toMatchObject([{ keyId: 'key-1', part: 'large', cause: 'rate-limit' }])
  })

  it('fails at once where waiting would be in vain, with the cause for that model', async () => {
    const server = await loopback(({ body }) => (body.includes('large') ? limited('120') : {}))
    const fetch = wrapFetch(globalThis.fetch, {
      provider: 'openai',
      origins: server.url,
      keys: ['a', 'b'],
      maxWait: '5s',
    })
    const error = await fetch(server.url, ask('large')).catch((each: unknown) => each)
    expect(KeypoolError.is(error, 'ERR_POOL_EXHAUSTED') && error.causes).toMatchObject([
      { keyId: 'key-1', cause: 'rate-limit' },
      { keyId: 'key-2', cause: 'rate-limit' },
    ])
    const again = await Promise.all([1, 2, 3].map(() => fetch(server.url, ask('large')).catch((each: unknown) => each)))
    expect(again.every(each => KeypoolError.is(each, 'ERR_POOL_EXHAUSTED'))).toBe(true)
    expect((await fetch(server.url, ask('small'))).status).toBe(200)
  })

  it('is read from the body of a Request as well, also to explain what would come of it', async () => {
    const server = await loopback(({ body }) => (body.includes('large') ? limited('30') : {}))
    const fetch = wrapFetch(globalThis.fetch, { provider: 'openai', origins: server.url, keys: ['a'], maxWait: '1s' })
    const post = (model: string) => {
      const headers = { 'content-type': 'application/json' }
      return new Request(server.url, { ...ask(model), headers })
    }
    await fetch(post('large')).catch(() => {})
    expect((await fetch(post('small'))).status).toBe(200)
    expect(await fetch.explain(post('large'))).toMatchObject({ outcome: 'fail', part: 'large' })
  })

  it('is read from the path where it stands there, and from a Request that is sent again', async () => {
    const server = await loopback(({ key, url }) => (key === 'a' && url.includes('pro') ? limited('30') : {}))
    const fetch = wrapFetch(globalThis.fetch, {
      provider: 'gemini',
      auth: 'bearer',
      origins: server.url,
      keys: ['a', 'b'],
      strategy: 'fill-first',
    })
    const post = (model: string) =>
      fetch(new Request(`${server.url}/v1beta/models/${model}:generateContent`, { method: 'POST', body: '{}' }))
    await post('pro')
    await post('flash')
    expect(server.keys()).toEqual(['a', 'b', 'a'])
    expect(fetch.pool.keys()[0]!.parts.map(({ name, state }) => [name, state])).toEqual([
      ['pro', 'cooling'],
      ['flash', 'ready'],
    ])
  })
})

describe('a shortage of tokens', () => {
  it('says when there will be enough for the request', async () => {
    const server = await loopback(() => ({}))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: { tokens: 1_000, per: '50s', cost: () => 600 },
      onExhausted: 'respond',
      maxWait: '2s',
      cache: false,
    })
    expect((await fetch(server.url)).status).toBe(200)
    const response = await fetch(server.url)
    expect([response.status, Number(response.headers.get('retry-after')) > 45]).toEqual([429, true])
  })
})

describe('scope', () => {
  it("'route' tells method and path apart, whatever ids are in it", async () => {
    const server = await loopback(({ key, url }) => (key === 'a' && url.includes('messages') ? limited('30') : {}))
    const fetch = wrapFetch(globalThis.fetch, {
      scope: 'route',
      origins: server.url,
      keys: ['a', 'b'],
      strategy: 'fill-first',
      cache: false,
    })
    for (const path of ['/channels/1/messages', '/channels/2/messages', '/users/1']) await fetch(server.url + path)
    expect(server.keys()).toEqual(['a', 'b', 'b', 'a'])
    expect(fetch.pool.keys()[0]!.parts.map(({ name }) => name)).toEqual(['GET /channels/*/messages', 'GET /users/*'])
  })

  it('keeps what it knows of any number of routes while they rest', async () => {
    const server = await loopback(() => limited('30'))
    const fetch = wrapFetch(globalThis.fetch, {
      scope: ({ url }) => url,
      origins: server.url,
      keys: ['a'],
      maxWait: '60s',
      cache: false,
    })
    const stop = new AbortController()
    const calls = Array.from({ length: 300 }, (_, index) =>
      fetch(`${server.url}/${index}`, { signal: stop.signal }).catch(() => {}),
    )
    await expect.poll(() => server.received.length, { timeout: 20_000 }).toBe(300)
    // None of them goes out a second time.
    await new Promise(resolve => setTimeout(resolve, 300))
    expect(server.received).toHaveLength(300)
    stop.abort()
    await Promise.all(calls)
  })

  it('that gives no name is told so', async () => {
    const fetch = wrapFetch(globalThis.fetch, { scope: (() => 5) as never, origins: 'https://a.example', keys: ['a'] })
    await expect(fetch('https://a.example')).rejects.toThrow("Option 'scope': expected a function that gives a name")
  })

  it('may be a function, which names what shares a limit', async () => {
    const server = await loopback(({ key, url }) => (key === 'a' && url.includes('eu') ? limited('30') : {}))
    const fetch = wrapFetch(globalThis.fetch, {
      scope: ({ url }) => new URL(url).searchParams.get('region') ?? '',
      origins: server.url,
      keys: ['a', 'b'],
      strategy: 'fill-first',
      cache: false,
    })
    for (const region of ['eu', 'eu', 'us', 'eu']) await fetch(`${server.url}/?region=${region}`)
    expect(server.keys()).toEqual(['a', 'b', 'b', 'a', 'b'])
  })
})

describe('a limit that no other key helps against', () => {
  it('of the address stops the whole pool, and nothing is sent till it is over', async () => {
    let banned = true
    const server = await loopback(() => (banned ? { status: 418, headers: { 'retry-after-ms': '200' } } : {}))
    const fetch = wrapFetch(globalThis.fetch, {
      provider: 'binance',
      auth: 'bearer',
      origins: server.url,
      keys: ['a', 'b', 'c'],
      cache: false,
    })
    const events = recordEvents(fetch)
    fetch.pool.once('key-exhausted', () => {
      banned = false
    })
    const responses = await Promise.all([1, 2, 3].map(() => fetch(server.url)))
    expect(responses.map(({ status }) => status)).toEqual([200, 200, 200])
    expect(events.of('key-exhausted')).toMatchObject([{ scope: 'address', cause: 'rate-limit', status: 418 }])
    expect(server.received.length).toBeLessThanOrEqual(6)
    expect(fetch.pool.keys().map(({ state }) => state)).not.toContain('cooling')
  })

  it('fails at once when it lasts longer than anyone waits', async () => {
    const server = await loopback(() => ({ status: 418, headers: { 'retry-after': '3393' } }))
    const fetch = wrapFetch(globalThis.fetch, {
      provider: 'binance',
      auth: 'bearer',
      origins: server.url,
      keys: ['a', 'b'],
    })
    for (let index = 0; index < 3; index++) {
      await expect(fetch(server.url)).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
    }
    expect(server.received).toHaveLength(1)
  })

  it('of one resource rests that resource, for all keys', async () => {
    const server = await loopback(({ url }) => (url.includes('appOne') ? { status: 429 } : {}))
    const fetch = wrapFetch(globalThis.fetch, {
      provider: 'airtable',
      origins: server.url,
      keys: ['a', 'b', 'c'],
      maxWait: '1s',
      cache: false,
    })
    const events = recordEvents(fetch)
    await expect(fetch(`${server.url}/v0/appOne/table`)).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
    expect((await fetch(`${server.url}/v0/appTwo/table`)).status).toBe(200)
    expect(server.received).toHaveLength(2)
    expect(events.of('key-exhausted')).toMatchObject([{ scope: 'resource', part: 'appOne' }])
  })
})
