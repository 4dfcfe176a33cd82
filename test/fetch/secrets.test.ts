import { inspect } from 'node:util'
import { wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { recordEvents } from '../helpers/events.js'
import { loopback } from '../helpers/loopback.js'

const SECRETS = ['sk-first/secret+value', 'sk-second-secret-value', 'sk-third-secret-value']
const forms = SECRETS.flatMap(secret => [secret, encodeURIComponent(secret), btoa(secret)])

/** Everything that printing, logging or serialising could make of a value. */
function traces(value: unknown): string {
  const seen = new Set<unknown>()
  const parts: string[] = []
  const visit = (each: unknown) => {
    if (typeof each === 'string') parts.push(each)
    if ((typeof each !== 'object' && typeof each !== 'function') || each === null || seen.has(each)) return
    seen.add(each)
    parts.push(inspect(each, { showHidden: true, depth: 20, getters: true }))
    if (typeof (each as object).toString === 'function') parts.push(`${each}`)
    for (const name of Reflect.ownKeys(each)) visit(Reflect.get(each, name))
  }
  visit(value)
  try {
    parts.push(JSON.stringify(value) ?? '')
  } catch (error) {
    parts.push(String(error))
  }
  return parts.join('\n')
}

const hasSecret = (value: unknown) => forms.some(form => traces(value).includes(form))

describe('a key’s value', () => {
  it('is found by this test where it is shown', () => {
    expect(hasSecret({ deep: [{ error: new Error(`no ${SECRETS[1]}`) }] })).toBe(true)
  })

  it.each(['bearer', { header: 'x-api-key' }, { query: 'key' }] as const)('shows nowhere, with auth %j', async auth => {
    const server = await loopback(({ url }, count) => {
      if (url.startsWith('/dead')) return response => response.destroy()
      if (count === 1) return { status: 429, headers: { 'retry-after': '60' } }
      if (count === 2) return { status: 401 }
      return url.startsWith('/hop')
        ? { status: 302, headers: { location: `/landed${url.slice(4)}` } }
        : { headers: { 'cache-control': 'max-age=60' } }
    })
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: SECRETS,
      auth,
      retry: { retries: 1, minDelay: 1 },
      maxWait: '5s',
      limits: { requests: 10, per: '1m' },
    })
    const events = recordEvents(fetch)
    const first = await fetch(`${server.url}/x?a=b&key=${encodeURIComponent(SECRETS[2]!)}`)
    const hit = await fetch(`${server.url}/x?a=b`)
    const hop = await fetch(`${server.url}/hop?own=1`)
    const failure = await fetch(`${server.url}/dead`).catch((error: unknown) => error)
    fetch.pool.disable('key-3')
    const exhausted = await fetch(`${server.url}/y`).catch((error: unknown) => error)
    expect(events.all.length).toBeGreaterThan(8)
    expect(server.received.some(({ url, headers }) => (url + JSON.stringify(headers)).includes('sk-second'))).toBe(true)
    for (const [what, value] of Object.entries({
      ...{ fetch, pool: fetch.pool, keys: fetch.pool.keys(), stats: fetch.pool.stats(), events: events.all },
      ...{
        failure,
        exhausted,
        first: typeof auth === 'object' && 'query' in auth ? [first.url, inspect(first)] : [],
        hit: [hit.url, inspect(hit)],
        hop: [hop.url, inspect(hop)],
      },
    })) {
      expect({ what, shows: hasSecret(value) }).toEqual({ what, shows: false })
    }
  })

  it('is taken out of errors that the wrapped fetch puts it into', async () => {
    const failing = async (input: unknown) => {
      const { url } = new Request(input as string)
      throw Object.assign(new TypeError(`could not reach ${url}`, { cause: new Error(`GET ${url}`) }), { url })
    }
    const fetch = wrapFetch(failing as typeof globalThis.fetch, {
      origins: 'https://api.example.com',
      keys: SECRETS,
      auth: { query: 'key' },
      retry: false,
    })
    const error = await fetch('https://api.example.com/x').catch((error: unknown) => error)
    expect(error).toBeInstanceOf(TypeError)
    expect((error as Error).message).toContain('[secret]')
    expect(hasSecret(error)).toBe(false)
  })

  it('is in no URL that a function of the user’s own has put it into', async () => {
    const server = await loopback(() => ({ headers: { 'cache-control': 'max-age=60' } }))
    const auth = (request: Request, key: string) => new Request(`${request.url}?k=${encodeURIComponent(key)}`, request)
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: [SECRETS[0]!], auth })
    expect((await fetch(`${server.url}/x`)).url).toBe(`${server.url}/x`)
    expect((await fetch(`${server.url}/x`)).url).toBe(`${server.url}/x`)
  })

  it('is taken out of whatever an error carries', async () => {
    const failing = async (input: unknown) => {
      const { url } = new Request(input as string)
      const config = { url: new URL(url), list: [url] }
      throw Object.assign(new AggregateError([new Error(url)], url), { config, [Symbol('s')]: url })
    }
    const options = { origins: 'https://api.example.com', keys: SECRETS, auth: { query: 'key' }, retry: false } as const
    const error = await wrapFetch(
      failing as typeof globalThis.fetch,
      options,
    )('https://api.example.com/x').catch((error: unknown) => error)
    expect(error).toBeInstanceOf(AggregateError)
    expect(hasSecret(error)).toBe(false)
  })

  it('given where an id is meant is not repeated', () => {
    const { pool } = wrapFetch(globalThis.fetch, { origins: 'https://a.b', keys: SECRETS })
    const error = caught(() => pool.disable(SECRETS[1]!))
    expect(error).toMatchObject({ code: 'ERR_UNKNOWN_KEY' })
    expect(hasSecret(error)).toBe(false)
  })

  it('is in no message about bad options', () => {
    const long = 'sk-a-secret-with-a-line-break\n'
    const tries: (() => unknown)[] = [
      () => wrapFetch(globalThis.fetch, { origins: 'https://a.b', keys: [long] }),
      () => wrapFetch(globalThis.fetch, { origins: 'https://a.b', keys: [SECRETS[1]!, SECRETS[1]!] }),
      () =>
        wrapFetch(globalThis.fetch, {
          origins: 'https://a.b',
          keys: [{ value: SECRETS[1]!, id: `id of ${SECRETS[1]}` }],
        }),
      () => wrapFetch(globalThis.fetch, { origins: 'https://a.b', keys: [SECRETS[1]!], auth: SECRETS[1] as 'bearer' }),
      () => wrapFetch(globalThis.fetch, { origins: SECRETS[1]!, keys: [SECRETS[1]!] }),
      () => wrapFetch(globalThis.fetch, { origins: 'https://a.b', keys: SECRETS[1] as never }),
      () => wrapFetch(globalThis.fetch, { origins: 'https://a.b', keys: [{ key: SECRETS[1] } as never] }),
      () => wrapFetch(globalThis.fetch, { origins: 'https://a.b', keys: ['k'], apiKey: SECRETS[1] } as never),
      () => wrapFetch(globalThis.fetch, { origins: 'https://a.b', keys: [{ [SECRETS[1]!]: 1 } as never] }),
      () => wrapFetch(globalThis.fetch, { origins: 'https://a.b', keys: ['k'], auth: SECRETS[1] as 'bearer' }),
      () =>
        wrapFetch(globalThis.fetch, {
          origins: 'https://a.b',
          keys: [{ value: SECRETS[1]!, weight: SECRETS[1] as never }],
        }),
      () => wrapFetch(globalThis.fetch, { origins: 'https://a.b', keys: [SECRETS[1]!] }).pool.add(SECRETS[1]!),
    ]
    for (const attempt of tries) {
      const error = caught(attempt)
      expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION' })
      expect(traces(error)).not.toContain('sk-a-secret')
      expect(hasSecret(error)).toBe(false)
    }
  })
})

function caught(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
  throw new Error('did not throw')
}

describe('a redirect', () => {
  it.each(['bearer', { header: 'x-api-key' }, { query: 'key' }] as const)(
    'to another origin leaves the key behind, with auth %j',
    async auth => {
      const elsewhere = await loopback(({ url }) => ({ body: `landed ${url}` }))
      const server = await loopback(({ url }) => ({
        status: 307,
        headers: { location: `${elsewhere.url}/there${url.replace(/^\/x/, '')}` },
      }))
      const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: [SECRETS[0]!], auth })
      const response = await fetch(`${server.url}/x?a=1`, { method: 'POST', body: 'b', headers: { 'x-own': 'kept' } })
      expect(response.url).toBe(`${elsewhere.url}/there?a=1`)
      expect(response.redirected).toBe(true)
      expect(await response.text()).toBe('landed /there?a=1')
      const [{ headers, url, body }] = elsewhere.received as [(typeof elsewhere.received)[0]]
      expect(`${url} ${JSON.stringify(headers)}`).not.toMatch(/sk-first|secret/)
      expect(headers['x-own']).toBe('kept')
      expect(body).toBe('b')
    },
  )

  it.each([
    ['as part of another parameter', (url: string) => `/login?return_to=${encodeURIComponent(url)}`],
    ['in its path', (_: string, key: string) => `/k/${encodeURIComponent(key)}/x`],
    ['inside a parameter', (_: string, key: string) => `/?a=x${encodeURIComponent(key)}`],
  ])('that carries the key to another origin %s does so without it', async (_, location) => {
    const elsewhere = await loopback(() => ({}))
    const server = await loopback(({ url }) => ({
      status: 302,
      headers: { location: elsewhere.url + location(`http://own${url}`, SECRETS[0]!) },
    }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: [SECRETS[0]!], auth: { query: 'appid' } })
    const response = await fetch(`${server.url}/x`)
    expect(`${elsewhere.received[0]!.url} ${response.url}`).not.toMatch(/sk-first|secret\W*value/)
  })

  it('whose location is none tells of it without the key', async () => {
    const server = await loopback(({ url }) => ({ status: 302, headers: { location: `http://[bad${url}` } }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: [SECRETS[0]!], auth: { query: 'appid' } })
    const error = await fetch(`${server.url}/x`).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(TypeError)
    expect(hasSecret(error)).toBe(false)
  })

  it('to its own origin with the key in the location does not show it', async () => {
    const server = await loopback(({ url }) =>
      url === '/x' ? { status: 302, headers: { location: `/n?token=${encodeURIComponent(SECRETS[0]!)}` } } : {},
    )
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: [SECRETS[0]!] })
    expect((await fetch(`${server.url}/x`)).url).toBe(`${server.url}/n`)
  })

  it('on the same origin takes the key along, and one more permit', async () => {
    const server = await loopback(({ url }) =>
      url === '/old' ? { status: 301, headers: { location: '/new' } } : { body: 'new' },
    )
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], limits: { requests: 10, per: '1m' } })
    const response = await fetch(`${server.url}/old`)
    expect(response).toMatchObject({ redirected: true, url: `${server.url}/new`, status: 200 })
    expect(server.keys()).toEqual(['a', 'a'])
    expect(fetch.pool.keys()[0]!.remaining).toBe(8)
    expect(fetch.pool.keys()[0]!.inFlight).toBe(0)
  })

  it('does not wait for itself where only one request at once is allowed', async () => {
    const server = await loopback(({ url }) =>
      url === '/old' ? { status: 302, headers: { location: '/new' }, body: 'moved' } : { body: 'new' },
    )
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], limits: { concurrency: 1 } })
    expect(await (await fetch(`${server.url}/old`)).text()).toBe('new')
  })

  it('follows the rules of fetch for methods, bodies, loops and modes', async () => {
    const server = await loopback(({ url, method, body }) => {
      const status = Number(/^\/(\d+)/.exec(url)?.[1])
      if (url === '/loop') return { status: 302, headers: { location: '/loop' } }
      return status ? { status, headers: { location: '/end' } } : { body: `${method} ${body}` }
    })
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: false })
    const options = { method: 'POST', body: 'b' }
    for (const status of [301, 302, 303, 307, 308]) {
      const [ours, bare] = await Promise.all([
        fetch(`${server.url}/${status}`, options),
        globalThis.fetch(`${server.url}/${status}`, options),
      ])
      expect(await ours.text()).toBe(await bare.text())
    }
    await expect(fetch(`${server.url}/loop`)).rejects.toMatchObject({
      message: 'fetch failed',
      cause: { message: 'redirect count exceeded' },
    })
    await expect(fetch(`${server.url}/301`, { redirect: 'error' })).rejects.toBeInstanceOf(TypeError)
    expect((await fetch(`${server.url}/301`, { redirect: 'manual' })).status).toBe(301)
  })
})

describe('a key with a baseUrl', () => {
  it('goes to its own endpoint and nowhere else', async () => {
    const main = await loopback(() => ({ body: 'main' }))
    const second = await loopback(() => ({ body: 'second' }))
    const region = await loopback(({ url }) =>
      url.endsWith('/away') ? { status: 307, headers: { location: `${main.url}/caught` } } : { body: `region ${url}` },
    )
    const fetch = wrapFetch(globalThis.fetch, {
      origins: [main.url, second.url],
      strategy: 'fill-first',
      keys: [{ value: 'regional', baseUrl: `${region.url}/proxy/` }, 'central'],
      cache: false,
    })
    expect(await (await fetch(`${main.url}/v1/x?y=1`)).text()).toBe('region /proxy/v1/x?y=1')
    expect(await (await fetch(`${second.url}/v1`)).text()).toBe('second')
    await fetch(`${main.url}/away`)
    expect(region.keys()).toEqual(['regional', 'regional'])
    expect(second.keys()).toEqual(['central'])
    expect(main.keys()).toEqual([''])
  })
})

describe('other origins', () => {
  it('pass through untouched: no key, no limit, no cache', async () => {
    const server = await loopback(() => ({}))
    const other = await loopback(() => ({ headers: { 'cache-control': 'max-age=60' } }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], limits: { requests: 1, per: '1h' } })
    for (let index = 0; index < 3; index++) await fetch(`${other.url}/x`, { headers: { authorization: 'Bearer own' } })
    expect(other.keys()).toEqual(['own', 'own', 'own'])
    expect(fetch.pool.stats()).toMatchObject({ passedThrough: 3, requests: 0 })
  })
})

describe('an error of the wrapped fetch', () => {
  const failing = (error: (url: string, init: RequestInit | undefined) => unknown) =>
    wrapFetch(
      async (input, init) => {
        throw error(String(input), init)
      },
      { origins: 'https://api.example.com', keys: ['sk-secret-value-one'], auth: { query: 'key' }, retry: false },
    )('https://api.example.com/x').catch((reason: unknown) => reason)

  it('is left as it is where it holds no key, with all that hangs on it', async () => {
    const config = { base: new URL('https://api.example.com/base') }
    for (let count = 0; count < 2; count++) {
      expect(await failing(() => Object.assign(new Error('down'), { config }))).toMatchObject({ config })
    }
    expect(config.base).toBeInstanceOf(URL)
    expect(Object.keys(config)).toEqual(['base'])
  })

  it('loses requests, headers, URLs and maps that hold a key, which are not changed themselves', async () => {
    let request: Request | undefined
    const error = await failing(url => {
      request = new Request(url)
      const headers = new Headers({ authorization: 'Bearer sk-secret-value-one' })
      const details = { url: new URL(url), headers, map: new Map([['url', url]]), list: [url] }
      return Object.assign(new Error('down'), { request, details })
    })
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('secret-value')
    expect(request!.url).toContain('sk-secret-value-one')
  })
})
