import { wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { loopbackRaw } from '../helpers/loopback.js'

const ORIGIN = 'http://api.test'
const SYMBOL = Symbol('of some platform')

/** Members of an init that only some platforms know, and whatever will come. */
const EXTRAS = {
  next: { revalidate: 60 },
  cf: { cacheTtl: 5 },
  proxy: 'http://proxy.test',
  tls: { rejectUnauthorized: true },
  dispatcher: { dispatch() {} },
  client: { close() {} },
  agent: { keepAlive: true },
  compress: true,
  verbose: false,
  whateverComes: 1,
  [SYMBOL]: 'symbol',
}

/** The class below has a getter for that one. */
const { next: _, ...WITHOUT_NEXT } = EXTRAS

const WAYS: [name: string, options: object][] = [
  ['as it is', {}],
  ['with the cache', { cache: { ttl: '1m' } }],
  ['with concurrency', { limits: { concurrency: 1 } }],
  ['with a key in the query', { auth: { query: 'key' } }],
  ['with an `auth` of its own', { auth: (request: Request) => request }],
]

class WithGetters {
  get next() {
    return EXTRAS.next
  }
  cf = EXTRAS.cf
}

describe.each(WAYS)('members of init that no standard knows, %s', (_, options) => {
  it.each<[string, () => [RequestInfo | URL, RequestInit]]>([
    ['a URL', () => [`${ORIGIN}/`, EXTRAS as RequestInit]],
    ['a URL and standard members', () => [`${ORIGIN}/`, { ...EXTRAS, method: 'PUT', body: 'x' } as RequestInit]],
    ['a Request', () => [new Request(`${ORIGIN}/`, { method: 'PUT', body: 'x' }), EXTRAS as RequestInit]],
    ['an init of a class', () => [`${ORIGIN}/`, Object.assign(new WithGetters(), WITHOUT_NEXT) as RequestInit]],
  ])('reach every attempt and every hop that is ours, beside %s', async (_, args) => {
    const seen: RequestInit[] = []
    const answers = [
      new Response('', { status: 429, headers: { 'retry-after': '60' } }),
      new Response('', { status: 503 }),
      new Response('', { status: 307, headers: { location: '/elsewhere' } }),
      new Response('there'),
    ]
    const base = async (_: unknown, init: RequestInit = {}) => {
      seen.push(init)
      return answers[seen.length - 1]!
    }
    const fetch = wrapFetch(base as never, {
      ...{ origins: ORIGIN, keys: ['key-one', 'key-two'], cache: false, retry: { minDelay: 1 } },
      ...options,
    })
    expect(await (await fetch(...args())).text()).toBe('there')
    expect(seen).toHaveLength(4)
    for (const init of seen) expect(init).toMatchObject({ ...WITHOUT_NEXT, [SYMBOL]: 'symbol' })
  })
})

it('members of init are read once each, hidden and inherited ones too', async () => {
  class Init {
    get proxy() {
      reads.push('proxy')
      return 'p'
    }
  }
  const reads: string[] = []
  const getter = (name: string, value: unknown) => ({
    configurable: true,
    enumerable: name !== 'dispatcher',
    get() {
      reads.push(name)
      return value
    },
  })
  const seen: RequestInit[] = []
  const base = async (_: unknown, init: RequestInit = {}) => {
    seen.push(init)
    return new Response('')
  }
  const fetch = wrapFetch(base as never, { origins: ORIGIN, keys: ['a'], cache: false })
  const members = {
    cf: getter('cf', 1),
    dispatcher: getter('dispatcher', 2),
    credentials: getter('credentials', 'omit'),
  }
  await fetch(`${ORIGIN}/`, Object.defineProperties(new Init(), members) as RequestInit)
  await fetch(`${ORIGIN}/`, Object.defineProperties({}, { cf: members.cf, dispatcher: members.dispatcher }))
  await fetch(`${ORIGIN}/`, { priority: 'high' } as RequestInit)
  expect(reads.sort()).toEqual(['cf', 'cf', 'credentials', 'dispatcher', 'dispatcher', 'proxy'])
  expect(seen).toMatchObject([
    { cf: 1, dispatcher: 2, credentials: 'omit', proxy: 'p' },
    { cf: 1, dispatcher: 2 },
    { priority: 'high' },
  ])
})

describe('a header of `auth`', () => {
  it.each(['X-API-Key', 'x-goog-api-key', 'Ocp-Apim-Subscription-Key'])(
    'is sent as it was written: %s',
    async header => {
      const server = await loopbackRaw()
      const fetch = wrapFetch(globalThis.fetch, {
        origins: server.url,
        keys: ['the-key'],
        auth: { header },
        cache: false,
      })
      await (await fetch(server.url, { headers: { [header.toLowerCase()]: 'of the caller' } })).text()
      const at = server.rawHeaders.indexOf(header)
      expect(server.rawHeaders[at + 1]).toBe('the-key')
      expect(server.rawHeaders.filter(each => each.toLowerCase() === header.toLowerCase())).toEqual([header])
    },
  )
})
