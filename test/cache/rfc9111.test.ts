import { wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { loopback, type Received, type Reply } from '../helpers/loopback.js'

const START = Date.UTC(2026, 8, 6, 12)
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: START })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Lets so many seconds pass. */
const later = (seconds: number) => vi.setSystemTime(Date.now() + seconds * 1000)
const date = (seconds: number) => new Date(START + seconds * 1000).toUTCString()
/** What is stored in the background has been. */
const settled = () => new Promise(resolve => setTimeout(resolve, 10))

type Script = (request: Received, count: number) => Reply | Promise<Reply>
type Fields = Record<string, string | string[] | undefined>

async function caching(script: Script | Fields, options: Partial<Parameters<typeof wrapFetch>[1]> = {}) {
  const reply: Script =
    typeof script === 'function' ? script : (_, count) => ({ headers: { date: date(0), ...script }, body: `${count}` })
  const server = await loopback(async (request, count) => {
    const made = await reply(request, count)
    if (typeof made === 'function') return made
    // Node's own clock is not the one of the tests.
    return { ...made, headers: { date: new Date(Date.now()).toUTCString(), ...made.headers } }
  })
  const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'], retry: false, ...options })
  const get = async (init: RequestInit = {}, path = '/x') => {
    const response = await fetch(server.url + path, init)
    const text = await response.text()
    await settled()
    return { response, text, count: server.received.length }
  }
  /** How many requests have reached the server after two in a row. */
  const twice = async (between = 0, second: RequestInit = {}) => {
    await get()
    later(between)
    return (await get(second)).count
  }
  return { server, fetch, get, twice }
}

describe('RFC 9111 section 3, storing responses', () => {
  it.each([200, 203, 299, 400, 404, 410, 499, 500, 502, 503, 504, 599])(
    'with explicit freshness, whatever the final status: %i',
    async status => {
      const { twice } = await caching(() => ({ status, headers: { 'cache-control': 'max-age=60' }, body: 'x' }))
      expect(await twice()).toBe(1)
    },
  )

  it.each([206, 301, 302, 307])('not of parts, nor of redirects: %i', async status => {
    const { twice } = await caching(() => ({ status, headers: { 'cache-control': 'max-age=60' }, body: 'x' }))
    expect(await twice()).toBe(2)
  })

  it('an answer that asks nobody to see it again is stored, for one private cache', async () => {
    expect(await (await caching({ 'cache-control': 'private, max-age=60' })).twice()).toBe(1)
    expect(await (await caching({ 'cache-control': 'private="x-user", max-age=60' })).twice()).toBe(1)
  })

  it.each(['no-store', 'max-age=60, no-store', 'No-Store, max-age=60', 'max-age=60, NO-STORE="x"'])(
    'not of one that says %s',
    async control => {
      expect(await (await caching({ 'cache-control': control })).twice()).toBe(2)
    },
  )

  it('not for a request that says no-store', async () => {
    const { get } = await caching({ 'cache-control': 'max-age=60' })
    await get({ headers: { 'cache-control': 'no-store' } })
    expect((await get()).count).toBe(2)
  })

  it('5.2.2.3: must-understand takes the place of no-store where the status is understood, and else forbids', async () => {
    const control = 'max-age=60, must-understand, no-store'
    expect(await (await caching({ 'cache-control': control })).twice()).toBe(1)
    const odd = await caching(() => ({ status: 299, headers: { 'cache-control': 'max-age=60, must-understand' } }))
    expect(await odd.twice()).toBe(2)
  })

  it('3.1: without the fields of one connection, and those that Connection names', async () => {
    const { get } = await caching(() => response => {
      response.setHeader('connection', 'keep-alive, x-hop')
      response.setHeader('x-hop', '1')
      response.setHeader('x-end', '2')
      response.setHeader('cache-control', 'max-age=60')
      response.end('x')
    })
    await get()
    const { response, count } = await get()
    expect(count).toBe(1)
    expect(response.headers.get('x-hop')).toBeNull()
    expect(response.headers.get('connection')).toBeNull()
    expect(response.headers.get('x-end')).toBe('2')
  })

  it('3.3: nothing that was cut short', async () => {
    const { get } = await caching((_, count) =>
      count > 1
        ? { body: 'whole' }
        : response => {
            response.writeHead(200, { 'cache-control': 'max-age=60', 'content-length': '100' })
            response.write('cut')
            setTimeout(() => response.destroy(), 5)
          },
    )
    await expect(get()).rejects.toThrow()
    expect((await get()).text).toBe('whole')
  })

  it('3.5: of authorised requests too, which are all requests here', async () => {
    const { twice } = await caching({ 'cache-control': 'max-age=60' })
    expect(await twice()).toBe(1)
  })

  it('7.3: Set-Cookie does not keep an answer from being stored, and comes back with it', async () => {
    const { get } = await caching({ 'cache-control': 'max-age=60', 'set-cookie': ['a=1', 'b=2'] })
    await get()
    const { response, count } = await get()
    expect(count).toBe(1)
    expect(response.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
  })
})

describe('RFC 9111 section 4, answering from what is stored', () => {
  it('4.1 Vary: by each field that it names, absent ones included', async () => {
    const { get } = await caching({ 'cache-control': 'max-age=60', vary: 'Accept-Language, x-one' })
    const ask = async (headers: Record<string, string>) => (await get({ headers })).count
    expect(await ask({ 'x-one': '1' })).toBe(1)
    expect(await ask({ 'x-one': '1' })).toBe(1)
    expect(await ask({ 'x-one': '2' })).toBe(2)
    expect(await ask({})).toBe(3)
    expect(await ask({ 'x-one': '1', 'x-other': '5' })).toBe(3)
  })

  it('4.1 Vary: white space, and the order and case of what a client would have, make no difference', async () => {
    const { get } = await caching({ 'cache-control': 'max-age=60', vary: 'accept-language, x-list' })
    const ask = async (language: string, list: string) =>
      (await get({ headers: { 'accept-language': language, 'x-list': list } })).count
    expect(await ask('en, de', '1, 2')).toBe(1)
    expect(await ask('DE ,en', '1,2')).toBe(1)
    expect(await ask('de;q=0.5, en', '1,2')).toBe(2)
    expect(await ask('en, de', '2, 1')).toBe(3)
  })

  it('4.1 Vary: * is never matched', async () => {
    expect(await (await caching({ 'cache-control': 'max-age=60', vary: '*' })).twice()).toBe(2)
    expect(await (await caching({ 'cache-control': 'max-age=60', vary: 'accept, *' })).twice()).toBe(2)
  })

  it.each<[what: string, fields: Fields, freshFor: number]>([
    ['max-age', { 'cache-control': 'max-age=60' }, 60],
    ['max-age in other letters', { 'cache-control': 'Max-AGE=60' }, 60],
    ['max-age in quotes', { 'cache-control': 'max-age="60"' }, 60],
    ['the first of two', { 'cache-control': 'max-age=60, max-age=10' }, 60],
    ['max-age before Expires', { 'cache-control': 'max-age=60', expires: date(10) }, 60],
    ['Expires less Date', { expires: date(60) }, 60],
    ['no s-maxage, which is for shared caches', { 'cache-control': 's-maxage=600, max-age=60' }, 60],
    ['a tenth of the time since it changed', { 'last-modified': date(-600) }, 60],
    ['of the first Cache-Control field that has one', { 'cache-control': ['private', 'max-age=60'] }, 60],
    [
      'immutable alone makes nothing fresh (RFC 8246)',
      { 'cache-control': 'immutable', 'last-modified': date(-600) },
      60,
    ],
  ])('4.2.1: is fresh for %s', async (_, fields, freshFor) => {
    expect(await (await caching(fields)).twice(freshFor - 1)).toBe(1)
    expect(await (await caching(fields)).twice(freshFor + 1)).toBe(2)
  })

  it.each<[what: string, fields: Fields]>([
    ['max-age that is no number', { 'cache-control': 'max-age=soon', expires: date(60) }],
    ['a negative max-age', { 'cache-control': 'max-age=-60' }],
    ['a max-age with a fraction', { 'cache-control': 'max-age=60.5' }],
    ['Expires: 0 (5.3)', { expires: '0' }],
    ['Expires: -1 (5.3)', { expires: '-1' }],
    ['Expires in another time zone (5.3)', { expires: date(3600).replace('GMT', 'EST') }],
    ['Expires as numbers with dashes (5.3)', { expires: '2036-09-06 12:00:00' }],
    ['two Expires (5.3)', { expires: [date(60), date(90)] }],
    ['an Age over max-age as the first of two (5.1)', { 'cache-control': 'max-age=3600', age: ['7200', '0'] }],
    ['Age over max-age (4.2.3)', { 'cache-control': 'max-age=3600', age: '7200' }],
    ['a Date that long ago (4.2.3)', { 'cache-control': 'max-age=3600', date: date(-7200) }],
  ])('4.2.1, invalid or used up: is stale with %s', async (_, fields) => {
    expect(await (await caching(fields)).twice(0)).toBe(2)
  })

  it.each<[what: string, age: string | string[]]>([
    ['no number', 'old'],
    ['negative', '-7200'],
    ['a number with a fraction', '7200.0'],
    ['a number with a suffix', '7200s'],
    ['a number with a parameter', '7200;a=b'],
    ['empty', ''],
    ['a list that begins with a lower number', '0, 7200'],
    ['a list that begins with what is none', ['old', '7200']],
    ['two fields of which the first is lower', ['0', '7200']],
  ])('5.1: ignores an Age that is %s, or all of it but its first member', async (_, age) => {
    expect(await (await caching({ 'cache-control': 'max-age=3600', age })).twice(0)).toBe(1)
  })

  it('4.2.1: a Date that is missing is the time of receipt', async () => {
    const server = await caching(() => response => {
      response.sendDate = false
      response.setHeader('expires', date(60))
      response.end('x')
    })
    expect(await server.twice(59)).toBe(1)
    expect(await server.twice(2)).toBe(2)
  })

  it('4.2.2: no guess for a status that is none of those cacheable by default, unless it is public', async () => {
    const modified = { 'last-modified': date(-6000) }
    const of = (status: number, fields: Fields = {}) => caching(() => ({ status, headers: { ...modified, ...fields } }))
    expect(await (await of(404)).twice()).toBe(1)
    expect(await (await of(500)).twice()).toBe(2)
    expect(await (await of(599, { 'cache-control': 'public' })).twice()).toBe(1)
  })

  it('4.2.3: has an Age that goes on from that of the answer', async () => {
    const { get } = await caching({ 'cache-control': 'max-age=3600', age: '100' })
    await get()
    later(50)
    expect((await get()).response.headers.get('age')).toBe('150')
  })

  it('4.2.4: stale only with leave', async () => {
    const { get } = await caching({ 'cache-control': 'max-age=60, stale-while-revalidate=30' })
    await get()
    later(80)
    expect((await get()).text).toBe('1')
    later(3600)
    expect((await get()).text).not.toBe('1')
  })
})

describe('RFC 9111 section 4.3, validation', () => {
  const validated = (fields: Fields, update: Fields = {}, options = {}) =>
    caching(
      ({ headers }, count) =>
        headers['if-none-match'] || headers['if-modified-since']
          ? { status: 304, headers: { date: date(100), ...update } }
          : { headers: { date: date(0), 'content-type': 'text/plain', ...fields }, body: `body ${count}` },
      options,
    )

  it('4.3.1: asks with both validators', async () => {
    const { get, server } = await validated({ etag: '"a"', 'last-modified': date(-5), 'cache-control': 'max-age=1' })
    await get()
    later(100)
    expect((await get()).text).toBe('body 1')
    expect(server.received[1]!.headers).toMatchObject({ 'if-none-match': '"a"', 'if-modified-since': date(-5) })
  })

  it('4.3.1: goes back with the key that earned the validator', async () => {
    const { get, server } = await validated(
      { etag: '"a"', 'cache-control': 'max-age=0' },
      { 'cache-control': 'max-age=0' },
    )
    for (let count = 0; count < 6; count++) await get()
    expect(new Set(server.keys()).size).toBe(1)
  })

  it('4.3.4, 3.2: takes over the fields of a 304, but those that belong to the stored bytes', async () => {
    const { get } = await validated(
      { etag: '"a"', 'cache-control': 'max-age=1', 'x-old': 'old', 'x-both': '1', 'content-md5': 'm1' },
      {
        etag: '"a"',
        'cache-control': 'max-age=600',
        'x-both': '2',
        'content-type': 'text/plain;charset=utf-8',
        'content-md5': 'm2',
      },
    )
    await get()
    later(100)
    for (let count = 0; count < 2; count++) {
      const { response, text, count: sent } = await get()
      expect(sent).toBe(2)
      expect(text).toBe('body 1')
      expect(response.status).toBe(200)
      expect(Object.fromEntries(response.headers)).toMatchObject({
        ...{ etag: '"a"', 'x-old': 'old', 'x-both': '2', 'content-md5': 'm1' },
        ...{ 'content-type': 'text/plain;charset=utf-8', 'cache-control': 'max-age=600' },
      })
    }
  })

  it('4.3.4: keeps its validator, should a 304 name another one', async () => {
    const { get } = await validated({ etag: '"a"', 'cache-control': 'max-age=1' }, { etag: '"b"' })
    await get()
    later(100)
    expect((await get()).response.headers.get('etag')).toBe('"a"')
  })

  it('4.3.3: takes a new answer in the place of the old', async () => {
    const { get } = await caching((_, count) => ({
      headers: { etag: `"${count}"`, 'cache-control': 'max-age=0' },
      body: `${count}`,
    }))
    expect((await get()).text).toBe('1')
    expect((await get()).text).toBe('2')
  })

  it('4.3.5: an answer to HEAD freshens the stored answer to GET, if it is of the same representation', async () => {
    for (const [told, text, count] of [
      [{ etag: '"a"', 'x-new': 'yes', 'cache-control': 'max-age=600' }, 'body', 2],
      [{ etag: '"b"', 'cache-control': 'max-age=600' }, 'body', 3],
      [{ etag: '"a"', 'content-length': '999', 'cache-control': 'max-age=600' }, 'body', 3],
    ] as const) {
      const { get } = await caching(({ method }) =>
        method === 'HEAD'
          ? { headers: told as Fields }
          : { headers: { etag: '"a"', 'cache-control': 'max-age=1' }, body: 'body' },
      )
      await get()
      later(100)
      await get({ method: 'HEAD' })
      const after = await get()
      expect({ told, text: after.text, count: after.count }).toEqual({ told, text, count })
      if (count === 2) expect(after.response.headers.get('x-new')).toBe('yes')
    }
  })

  it('9.3.2 of RFC 9110: a fresh answer to GET answers HEAD', async () => {
    const { get } = await caching({ 'cache-control': 'max-age=60', 'content-length': '1' })
    await get()
    const { response, text, count } = await get({ method: 'HEAD' })
    expect({ text, count }).toEqual({ text: '', count: 1 })
    expect(response.headers.get('content-length')).toBe('1')
  })
})

describe('RFC 9111 section 4.4, invalidation', () => {
  it.each(['POST', 'PUT', 'DELETE', 'PATCH', 'REPORT'])('by %s that succeeded', async method => {
    const { get } = await caching({ 'cache-control': 'max-age=60' })
    await get()
    await get({ method })
    expect((await get()).text).toBe('3')
  })

  it('not by one that failed, nor by a safe one', async () => {
    const { get } = await caching(({ method }, count) => ({
      status: method === 'GET' || method === 'OPTIONS' ? 200 : 400,
      headers: { 'cache-control': 'max-age=60' },
      body: `${count}`,
    }))
    await get()
    await get({ method: 'PUT' })
    await get({ method: 'OPTIONS' })
    expect((await get()).text).toBe('1')
  })

  it('of what Location and Content-Location name, at the same origin only', async () => {
    const { get, server } = await caching(({ method, url }, count) => ({
      headers:
        method === 'GET'
          ? { 'cache-control': 'max-age=60' }
          : { location: '/made', 'content-location': url === '/far' ? 'https://elsewhere.example/kept' : '/same' },
      body: `${count}`,
    }))
    for (const path of ['/made', '/same', '/kept']) await get({}, path)
    await get({ method: 'POST' }, '/near')
    const before = server.received.length
    for (const path of ['/made', '/same', '/kept']) await get({}, path)
    expect(server.received.slice(before).map(({ url }) => url)).toEqual(['/made', '/same'])
  })

  it('9.3.3 of RFC 9110: an answer to POST that is what GET would bring is kept for that', async () => {
    const { get } = await caching(({ method, url }, count) => ({
      headers: { 'cache-control': 'max-age=60', ...(method === 'POST' && { 'content-location': url }) },
      body: `${method} ${count}`,
    }))
    await get()
    await get({ method: 'POST', body: 'new' })
    expect((await get()).text).toBe('POST 2')
  })
})

describe('RFC 9111 section 5.2.1, what a request says', () => {
  it.each<[directive: string, age: number, count: number]>([
    ['max-age=30', 20, 1],
    ['max-age=10', 20, 2],
    ['max-age=0', 0, 2],
    ['max-age="10"', 20, 2],
    ['min-fresh=30', 20, 1],
    ['min-fresh=50', 20, 2],
    ['max-stale', 1000, 1],
    ['max-stale=30', 80, 1],
    ['max-stale=10', 80, 2],
    ['no-cache', 0, 2],
    ['no-store', 0, 2],
    ['only-if-cached', 20, 1],
    ['no-transform', 20, 1],
    ['nonsense=1, =, ,', 20, 1],
  ])('%s, at the age of %i seconds', async (directive, age, count) => {
    const { twice } = await caching({ 'cache-control': 'max-age=60' })
    expect(await twice(age, { headers: { 'cache-control': directive } })).toBe(count)
  })

  it('5.2.1.2: max-stale is no leave for what must be revalidated', async () => {
    const { twice } = await caching({ 'cache-control': 'max-age=60, must-revalidate' })
    expect(await twice(80, { headers: { 'cache-control': 'max-stale' } })).toBe(2)
  })

  it('5.2.1.7: only-if-cached gives 504 where there is nothing, or nothing fresh', async () => {
    const { get } = await caching({ 'cache-control': 'max-age=60' })
    const only = { headers: { 'cache-control': 'only-if-cached' } }
    expect((await get(only)).response).toMatchObject({ status: 504, statusText: 'Gateway Timeout' })
    await get()
    expect((await get(only)).response.status).toBe(200)
    later(100)
    const { response, count } = await get(only)
    expect({ status: response.status, count }).toEqual({ status: 504, count: 1 })
  })

  it('5.4: Pragma: no-cache counts where there is no Cache-Control', async () => {
    const { twice } = await caching({ 'cache-control': 'max-age=60' })
    expect(await twice(0, { headers: { pragma: 'no-cache' } })).toBe(2)
    expect(await twice(0, { headers: { pragma: 'no-cache', 'cache-control': 'max-age=60' } })).toBe(2)
  })
})

describe('RFC 9111 section 5.2.2, what an answer says', () => {
  it('no-cache: is never served without asking', async () => {
    const { twice } = await caching({ 'cache-control': 'no-cache, max-age=60', etag: '"a"' })
    expect(await twice()).toBe(2)
  })

  const failing = (control: string) =>
    caching((_, count) =>
      count > 1 ? response => response.destroy() : { headers: { 'cache-control': control, etag: '"a"' }, body: 'kept' },
    )

  it.each(['max-age=60, must-revalidate', 'no-cache'])(
    'must-revalidate: is an error of 504 where nobody can be asked: %s',
    async control => {
      const { get } = await failing(control)
      await get()
      later(100)
      expect((await get()).response.status).toBe(504)
    },
  )

  it('without it, the connection’s own error is told', async () => {
    const { get } = await failing('max-age=60')
    await get()
    later(100)
    await expect(get()).rejects.toThrow(TypeError)
  })

  it('RFC 5861 section 4: stale-if-error stands in for a failure, within its time', async () => {
    const { get } = await failing('max-age=60, stale-if-error=100')
    await get()
    later(100)
    expect((await get()).text).toBe('kept')
    later(100)
    await expect(get()).rejects.toThrow(TypeError)
  })

  it('RFC 5861 section 4: not where it must be revalidated', async () => {
    const { get } = await failing('max-age=60, must-revalidate, stale-if-error=100')
    await get()
    later(100)
    expect((await get()).response.status).toBe(504)
  })

  it('RFC 8246: immutable is not asked about by a reload while it is fresh, unless the caller’s own field says so', async () => {
    const fields = { 'cache-control': 'max-age=60, immutable', etag: '"a"' }
    expect(await (await caching(fields)).twice(10, { cache: 'no-cache' })).toBe(1)
    expect(await (await caching(fields)).twice(10, { cache: 'reload' })).toBe(2)
    expect(await (await caching(fields)).twice(10, { headers: { 'cache-control': 'no-cache' } })).toBe(2)
    expect(await (await caching(fields)).twice(100, { cache: 'no-cache' })).toBe(2)
  })
})

describe('the fetch standard’s cache modes', () => {
  it.each<[mode: RequestCache, age: number, count: number, after: number]>([
    ['default', 10, 1, 1],
    ['default', 100, 2, 2],
    ['no-store', 10, 2, 2],
    ['reload', 10, 2, 2],
    ['no-cache', 10, 2, 2],
    ['force-cache', 1000, 1, 2],
  ])('%s, at the age of %i seconds', async (cache, age, count, after) => {
    const { twice, get } = await caching({ 'cache-control': 'max-age=60', date: undefined })
    expect(await twice(age, { cache })).toBe(count)
    expect((await get()).count).toBe(after)
  })

  it('no-store neither serves nor stores; reload does not serve, but stores', async () => {
    const { get } = await caching({ 'cache-control': 'max-age=60' })
    await get()
    expect((await get({ cache: 'no-store' })).text).toBe('2')
    expect((await get()).text).toBe('1')
    expect((await get({ cache: 'reload' })).text).toBe('3')
    expect((await get()).text).toBe('3')
  })

  it('only-if-cached is a network error where nothing is stored', async () => {
    const { get } = await caching({ 'cache-control': 'max-age=60' })
    const only: RequestInit = { cache: 'only-if-cached', mode: 'same-origin' }
    await expect(get(only)).rejects.toThrow(TypeError)
    await get()
    later(1000)
    expect((await get(only)).text).toBe('1')
  })

  it.each(['if-none-match', 'if-modified-since', 'if-match', 'if-unmodified-since', 'if-range'])(
    'a condition of the caller’s own makes it no-store: %s',
    async name => {
      const { server, get } = await caching(({ headers }) =>
        headers[name] ? { status: 304 } : { headers: { etag: '"a"', 'cache-control': 'max-age=60' }, body: 'x' },
      )
      await get()
      const { response } = await get({ headers: { [name]: '"mine"' } })
      expect(response.status).toBe(304)
      expect(server.received[1]!.headers[name]).toBe('"mine"')
      expect((await get()).text).toBe('x')
    },
  )
})

describe('ranges (RFC 9110 section 14, RFC 9111 section 3.4)', () => {
  const digits = '0123456789'

  it.each([
    ['bytes=0-3', '0123', 'bytes 0-3/10'],
    ['bytes=5-', '56789', 'bytes 5-9/10'],
    ['bytes=-3', '789', 'bytes 7-9/10'],
    ['bytes=8-100', '89', 'bytes 8-9/10'],
    ['Bytes=-100', digits, 'bytes 0-9/10'],
  ])('%s of what is stored', async (range, text, contentRange) => {
    const { get } = await caching(() => ({ headers: { 'cache-control': 'max-age=60' }, body: digits }))
    await get()
    const part = await get({ headers: { range } })
    expect(part).toMatchObject({ text, count: 1 })
    expect(part.response.status).toBe(206)
    expect(part.response.headers.get('content-range')).toBe(contentRange)
    expect(part.response.headers.get('content-length')).toBe(String(text.length))
  })

  it.each(['bytes=0-1,4-5', 'bytes=20-', 'bytes=5-2', 'lines=1-2', 'bytes=-0', 'bytes=-'])(
    '%s is for the server to answer',
    async range => {
      const { get, server } = await caching(() => ({ headers: { 'cache-control': 'max-age=60' }, body: digits }))
      await get()
      expect((await get({ headers: { range } })).count).toBe(2)
      expect(server.received[1]!.headers.range).toBe(range)
    },
  )

  it('parts that the server sends are never taken for the whole, nor for one another', async () => {
    const { get } = await caching(({ headers }) =>
      headers.range
        ? { status: 206, headers: { 'cache-control': 'max-age=60', 'content-range': 'bytes 0-1/10' }, body: '01' }
        : { headers: { 'cache-control': 'max-age=60' }, body: digits },
    )
    expect((await get({ headers: { range: 'bytes=0-1' } })).text).toBe('01')
    expect((await get()).text).toBe(digits)
  })

  it('of encoded content are for the server: its bytes are not those that are stored', async () => {
    const { gzipSync } = await import('node:zlib')
    const { get } = await caching(() => ({
      headers: { 'cache-control': 'max-age=60', 'content-encoding': 'gzip' },
      body: gzipSync(digits),
    }))
    await get()
    expect((await get({ headers: { range: 'bytes=0-1' } })).count).toBe(2)
    expect((await get()).text).toBe(digits)
  })
})

describe('tenants', () => {
  const keys = [
    { value: 'a1', group: 'a' },
    { value: 'b1', group: 'b' },
  ]
  const byKey: Script = ({ key }) => ({ headers: { 'cache-control': 'max-age=60', etag: `"${key}"` }, body: key })

  it('are one, and share what is stored', async () => {
    const { get } = await caching(byKey, { keys, strategy: 'round-robin' })
    for (let count = 0; count < 6; count++) expect((await get()).text).toBe('a1')
  })

  it('are the groups where the program says so: no answer to one key serves a call of another', async () => {
    const { get, fetch, server } = await caching(byKey, { keys, strategy: 'fill-first', cache: { tenants: 'group' } })
    expect((await get()).text).toBe('a1')
    expect((await get()).text).toBe('a1')
    fetch.pool.disable('key-1')
    expect((await get()).text).toBe('b1')
    fetch.pool.enable('key-1')
    expect((await get()).text).toBe('a1')
    expect(server.keys()).toEqual(['a1', 'b1'])
    // An unsafe request makes all of them out of date.
    await get({ method: 'PUT' })
    expect((await get()).count).toBe(4)
    fetch.pool.disable('key-1')
    expect((await get()).count).toBe(5)
  })
})
