import { wrapFetch } from 'fetch-keypool'
import { HttpResponse, http } from 'msw'
import { setupServer } from 'msw/node'
import nock from 'nock'
import nodeFetch, { Request as NodeRequest } from 'node-fetch'
import * as undici from 'undici'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { loopback } from '../helpers/loopback.js'

const ORIGIN = 'http://api.test'
const Platform = globalThis.Response
const json = { 'content-type': 'application/json', 'cache-control': 'max-age=60' }

afterEach(() => {
  globalThis.Response = Platform
  vi.unstubAllGlobals()
})

const WAYS: [name: string, options: object, status: number, calls: number][] = [
  ['that is stored', {}, 200, 1],
  ['out of the cache', {}, 200, 2],
  ['that is an error', {}, 400, 1],
  ['under concurrency', { cache: false, limits: { concurrency: 2 } }, 200, 1],
]

async function textBy(options: object, status: number, calls: number): Promise<string> {
  const base = async () => new Platform('{"a":1}', { status, headers: json })
  const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['key-one'], ...options })
  let text = ''
  for (let call = 0; call < calls; call++) text = await (await fetch(`${ORIGIN}/`)).text()
  return text
}

describe.each(WAYS)('a response %s', (_, options, status, calls) => {
  it.each(['headers', 'status', 'statusText', 'url', 'body', 'bodyUsed', 'type', 'ok', 'redirected'] as const)(
    'is whole where something reads .%s of each response while it is constructed',
    async name => {
      globalThis.Response = new Proxy(Platform, {
        construct(target, args, as) {
          const made = Reflect.construct(target, args, as)
          void made[name]
          return made
        },
      })
      expect(await textBy(options, status, calls)).toBe('{"a":1}')
    },
  )

  it('is of the class that stands in the platform’s place by now', async () => {
    class Instrumented extends Platform {}
    globalThis.Response = Instrumented as never
    expect(await textBy(options, status, calls)).toBe('{"a":1}')
  })

  it('is whole where the class in the platform’s place makes responses of its own accord', async () => {
    globalThis.Response = function Response(...args: ConstructorParameters<typeof Platform>) {
      return new Platform(...args)
    } as never
    Object.setPrototypeOf(globalThis.Response, Platform)
    expect(await textBy(options, status, calls)).toBe('{"a":1}')
  })
})

describe('mocks', () => {
  it('of msw are answered from as ever', async () => {
    const server = setupServer(
      http.get(`${ORIGIN}/a`, () => HttpResponse.json({ n: 1 }, { headers: { 'cache-control': 'max-age=60' } })),
      http.get(`${ORIGIN}/e`, () => HttpResponse.json({ error: 'x' }, { status: 400 })),
    )
    server.listen()
    try {
      const fetch = wrapFetch(globalThis.fetch, { origins: ORIGIN, keys: ['key-one'] })
      for (const path of ['/a', '/a', '/e']) {
        expect(await (await fetch(ORIGIN + path)).json()).toEqual(path === '/e' ? { error: 'x' } : { n: 1 })
      }
    } finally {
      server.close()
    }
  })

  it('of nock are answered from as ever', async () => {
    nock(ORIGIN)
      .get('/n')
      .reply(200, { ok: 1 }, { 'cache-control': 'max-age=5' })
      .get('/e')
      .reply(400, { error: { code: 'bad' } })
      .get('/r')
      .reply(429, { error: 'slow' })
      .get('/r')
      .reply(200, { ok: 2 })
    try {
      const fetch = wrapFetch(globalThis.fetch, { origins: ORIGIN, keys: ['key-one', 'key-two'] })
      const got = []
      for (const path of ['/n', '/n', '/e', '/r']) got.push(await (await fetch(ORIGIN + path)).json())
      expect(got).toEqual([{ ok: 1 }, { ok: 1 }, { error: { code: 'bad' } }, { ok: 2 }])
    } finally {
      nock.restore()
      nock.cleanAll()
    }
  })

  it.each<[string, unknown]>([
    ['an object with a status and json()', { ok: true, status: 200, json: async () => ({}) }],
    ['nothing', undefined],
    ['a text', 'ok'],
    ['a body alone', { body: 'x' }],
    [
      'an object with headers and json() alone',
      { ok: true, status: 200, headers: new Headers(), json: async () => ({}) },
    ],
    ['a body that can’t be read', { status: 200, headers: new Headers(), body: 'text' }],
  ])('that give %s are told so by name', async (_, given) => {
    const fetch = wrapFetch((async () => given) as never, { origins: ORIGIN, keys: ['a'], cache: false, retry: false })
    const error = await fetch(ORIGIN).catch(error => error)
    expect(error).toMatchObject({ code: 'ERR_INVALID_RESPONSE', message: expect.stringMatching(/new Response\(/) })
    expect(fetch.pool.keys()[0]).toMatchObject({ inFlight: 0, state: 'ready' })
  })
})

describe('a wrapped fetch of another make', () => {
  it.each<[string, (response: Response) => unknown]>([
    ['at once', response => response],
    // biome-ignore lint/suspicious/noThenProperty: that is what is tested.
    ['by a thenable', response => ({ then: (resolve: (value: Response) => void) => resolve(response) })],
  ])('may answer %s, with a signal and a timeout too', async (_, answer) => {
    const base = (() => answer(new Response('ok'))) as never
    for (const options of [{}, { timeout: 1_000 }, { timeout: { attempt: 1_000 } }]) {
      const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['a'], cache: false, ...options })
      for (const init of [{}, { signal: new AbortController().signal }]) {
        expect(await (await fetch(ORIGIN, init)).text()).toBe('ok')
      }
    }
  })

  it('may give a response whose body can only be had as a whole, which is cached like any other', async () => {
    let made = 0
    const base = async () => ({
      ...{ ok: true, status: 200, statusText: '', url: '', redirected: false, type: 'default' },
      headers: new Headers(),
      text: async () => `number ${++made}`,
    })
    const fetch = wrapFetch(base as never, { origins: ORIGIN, keys: ['a'], cache: { ttl: '1m' } })
    for (let call = 0; call < 2; call++) expect(await (await fetch(ORIGIN)).text()).toBe('number 1')
  })

  it('that hides redirects which it was asked to follow is asked twice, and no more', async () => {
    let asked = 0
    const base = async () => {
      asked++
      return Object.defineProperty(new Response(null), 'type', { value: 'opaqueredirect' })
    }
    const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['a'], cache: false, retry: false })
    await expect(fetch(ORIGIN)).rejects.toBeInstanceOf(TypeError)
    expect(asked).toBe(2)
  })

  it('may put properties of its own onto its responses, which the caller finds', async () => {
    const base = async () => Object.assign(new Response('ok'), { requestId: '1' })
    const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['a'], cache: false, limits: { concurrency: 1 } })
    expect(await fetch(ORIGIN)).toMatchObject({ requestId: '1' })
  })

  it('and a body’s method that is patched later is the one that is called', async () => {
    const base = async () => new Response('{}')
    const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['a'], cache: false, limits: { concurrency: 1 } })
    await (await fetch(ORIGIN)).json()
    const json = vi.spyOn(Response.prototype, 'json').mockResolvedValue('patched')
    expect(await (await fetch(ORIGIN)).json()).toBe('patched')
    json.mockRestore()
  })
})

describe('other implementations', () => {
  const echo = () =>
    loopback(({ key, body, method }, count) =>
      key === 'tired'
        ? { status: 429, headers: { 'retry-after': '60' }, body: '{"error":"slow"}' }
        : {
            headers: { 'cache-control': 'max-age=60', 'set-cookie': ['a=1', 'b=2'] },
            body: `${method} ${key} ${body} ${count}`,
          },
    )

  it.each([
    ['is passed on', { cache: false as const, keys: ['key'] }],
    ['can be stored', { keys: ['key'] }],
    ['is refused first', { keys: ['tired', 'key'], strategy: 'fill-first' as const }],
    ['holds a permit', { cache: false as const, keys: ['key'], limits: { concurrency: 1 } }],
  ])('node-fetch, with its streams of Node, works where a response %s', async (_, options) => {
    const server = await echo()
    const fetch = wrapFetch(nodeFetch as never, { origins: server.url, ...options })
    const got = await fetch(server.url)
    expect(await got.text()).toMatch(/^GET key {2}\d$/)
    expect(got.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    expect(got.url).toBe(`${server.url}/`)
    const posted = await fetch(server.url, { method: 'POST', body: 'x' })
    expect(await new Response(posted.body).text()).toMatch(/^POST key x \d$/)
  })

  it('undici’s own Request and fetch work together', async () => {
    const server = await echo()
    const options = {
      origins: server.url,
      keys: ['tired', 'key'],
      strategy: 'fill-first' as const,
      cache: false as const,
    }
    const fetch = wrapFetch(undici.fetch as never, options)
    for (const request of [
      new undici.Request(server.url, { method: 'POST', body: 'x' }),
      new undici.Request(server.url, { method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' }),
    ]) {
      expect(await (await fetch(request as never)).text()).toMatch(/^POST key x/)
    }
    expect(await (await fetch(new undici.Request(server.url) as never)).text()).toMatch(/^GET key/)
  })

  it('a Request of node-fetch’s is sent whole, whatever its size', async () => {
    const server = await loopback(({ body }) => ({ body: `${body.length} ${body.slice(0, 2)}` }))
    for (const [size, maxBytes] of [
      [3, 0],
      [3, 100],
      [2_000_000, 1_000],
      [17_000_000, undefined],
    ] as const) {
      const fetch = wrapFetch(nodeFetch as never, {
        origins: server.url,
        keys: ['key'],
        cache: false,
        replay: { maxBytes },
      })
      const request = new NodeRequest(server.url, { method: 'POST', body: 'a'.repeat(size) })
      expect(await (await fetch(request as never)).text()).toBe(`${size} aa`)
    }
  })

  it('a Request of undici’s is taken by the platform’s fetch too, with its signal', async () => {
    const server = await echo()
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['key'], cache: false })
    expect(await (await fetch(new undici.Request(server.url, { method: 'PUT', body: 'x' }) as never)).text()).toMatch(
      /^PUT key x/,
    )
    const signal = AbortSignal.abort(new Error('given up'))
    await expect(fetch(new undici.Request(server.url, { signal }) as never)).rejects.toThrow('given up')
  })

  it.each<[string, RequestInit]>([
    ['text', { method: 'POST', body: 'x' }],
    ['bytes', { method: 'POST', body: new TextEncoder().encode('x') }],
    ['a blob', { method: 'POST', body: new Blob(['x']) }],
    ['a stream', { method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' } as RequestInit],
    ['nothing', {}],
  ])('an `auth` function may give back a request of another implementation, with %s as its body', async (_, init) => {
    const server = await loopback(({ headers, method, body }) => ({ body: `${method} ${headers['x-key']} ${body}` }))
    const ways = {
      same(request: Request, key: string) {
        request.headers.set('x-key', key)
        return request
      },
      another(request: Request, key: string) {
        return new Request(request, { headers: { 'x-key': key } })
      },
      foreign: (request: Request, key: string) =>
        new undici.Request(request.url, {
          method: request.method,
          headers: { 'x-key': key },
          body: request.body as never,
          duplex: 'half',
        }) as never,
    }
    for (const auth of Object.values(ways)) {
      for (const base of [globalThis.fetch, undici.fetch as never]) {
        const fetch = wrapFetch(base, { origins: server.url, keys: ['key'], auth, cache: false, retry: false })
        const body = init.body instanceof ReadableStream ? new Blob(['x']).stream() : init.body
        const sent = await fetch(server.url, { ...init, body })
        expect(await sent.text()).toBe(init.body ? 'POST key x' : 'GET key ')
      }
    }
  })

  it('a form keeps its boundary under an `auth` function', async () => {
    const server = await loopback(({ headers, body }) => ({ body: `${headers['content-type']}\n${body}` }))
    const form = new FormData()
    form.set('a', 'b')
    const auth = (request: Request, key: string) => {
      request.headers.set('x-key', key)
      return request
    }
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['key'], auth, cache: false })
    const text = await (await fetch(server.url, { method: 'POST', body: form })).text()
    expect(text).toContain(/boundary=(\S+)/.exec(text)![1]!)
    expect(text.split(/boundary=(\S+)/)[1]).toBe(/--(\S+?)\r\n/.exec(text)![1])
  })
})

it('an environment without the web’s classes is told so when the fetch is made', () => {
  vi.stubGlobal('Response', undefined)
  expect(() => wrapFetch(globalThis.fetch, { origins: ORIGIN, keys: ['a'] })).toThrow(/no Response/)
})
