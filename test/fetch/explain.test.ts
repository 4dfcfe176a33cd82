import { wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { recordEvents } from '../helpers/events.js'
import { loopback } from '../helpers/loopback.js'

describe('explain()', () => {
  it('says which key a request would leave with, and sends nothing', async () => {
    const server = await loopback(() => ({}))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'], strategy: 'fill-first' })
    const events = recordEvents(fetch)
    expect(await fetch.explain(`${server.url}/x`)).toMatchObject({
      method: 'GET',
      url: `${server.url}/x`,
      outcome: 'send',
      cache: 'absent',
      keyId: 'key-1',
      wait: 0,
      ahead: 0,
      keys: [
        { keyId: 'key-1', usable: true, why: 'is ready' },
        { keyId: 'key-2', usable: true, why: 'is ready' },
      ],
      why: 'It would leave at once, with key-1.',
    })
    expect([server.received.length, events.all.length]).toEqual([0, 0])
    expect(fetch.pool.stats()).toMatchObject({ requests: 0, attempts: 0 })
  })

  it('tells of origins that are not the pool’s', async () => {
    const fetch = wrapFetch(globalThis.fetch, { origins: 'https://api.example.com', keys: ['a'] })
    expect(await fetch.explain('https://elsewhere.example/')).toMatchObject({
      outcome: 'pass-through',
      cache: 'off',
      keys: [],
    })
  })

  it('tells what the cache would do', async () => {
    const server = await loopback(({ url }) => ({
      headers: { 'cache-control': url === '/fresh' ? 'max-age=60' : 'no-cache', etag: '"1"' },
    }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'] })
    for (const path of ['/fresh', '/checked']) await (await fetch(server.url + path)).text()
    const ask = async (path: string, init?: RequestInit) => {
      const { cache, outcome } = await fetch.explain(server.url + path, init)
      return [cache, outcome]
    }
    expect(await ask('/fresh')).toEqual(['fresh', 'from-cache'])
    expect(await ask('/fresh', { cache: 'reload' })).toEqual(['bypassed', 'send'])
    expect(await ask('/checked')).toEqual(['revalidate', 'send'])
    expect(await ask('/other')).toEqual(['absent', 'send'])
    expect(await ask('/fresh', { method: 'POST', body: 'x' })).toEqual(['off', 'send'])
    expect(server.received).toHaveLength(2)
  })

  it('tells how long it would wait, for which key, and why each of them is not usable', async () => {
    const server = await loopback(({ key }) =>
      key === 'a' ? { status: 429, headers: { 'retry-after': '20' } } : key === 'b' ? { status: 401 } : {},
    )
    const keys = ['a', 'b', { value: 'c', limits: { requests: 1, per: '50s' } }]
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys, strategy: 'fill-first', cache: false })
    await fetch(server.url)
    const explained = await fetch.explain(server.url)
    expect(explained).toMatchObject({
      outcome: 'wait',
      keyId: 'key-1',
      keys: [
        { keyId: 'key-1', usable: false, cause: 'rate-limit', why: 'was refused (rate-limit)' },
        { keyId: 'key-2', usable: false, cause: 'invalid-key', until: null, why: 'is disabled (invalid-key)' },
        { keyId: 'key-3', usable: false, cause: null, why: 'is at its limits' },
      ],
    })
    expect(explained.wait! / 20_000).toBeCloseTo(1, 1)
    expect(explained.why).toMatch(/^It would wait about (20|2\d\.?\d?|19\.\d)s/)
    const impatient = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], maxWait: '1s', cache: false })
    await impatient(server.url).catch(() => {})
    expect(await impatient.explain(server.url)).toMatchObject({ outcome: 'fail', keyId: null })
  })

  it('tells of those that wait before it', async () => {
    const server = await loopback(() => ({}))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: { requests: 1, per: '300ms' },
      cache: false,
    })
    const calls = [1, 2, 3].map(() => fetch(server.url))
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(await fetch.explain(server.url)).toMatchObject({ outcome: 'wait', ahead: 2 })
    await Promise.all(calls)
  })

  it('tells of a model’s limit, and leaves the body of a Request to its owner', async () => {
    const server = await loopback(({ body }) =>
      body.includes('large') ? { status: 429, headers: { 'retry-after': '20' } } : {},
    )
    const fetch = wrapFetch(globalThis.fetch, { provider: 'openai', origins: server.url, keys: ['a'], maxWait: '1s' })
    const init = { method: 'POST', body: '{"model":"large"}' }
    await fetch(server.url, init).catch(() => {})
    expect(await fetch.explain(server.url, init)).toMatchObject({ outcome: 'fail', part: 'large' })
    const request = new Request(server.url, { method: 'POST', body: '{"model":"small"}' })
    expect(await fetch.explain(request)).toMatchObject({ outcome: 'send' })
    expect(await request.text()).toBe('{"model":"small"}')
  })

  it('shows no key’s value', async () => {
    const server = await loopback(() => ({}))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['very-secret-key'],
      auth: { query: 'key' },
    })
    expect(JSON.stringify(await fetch.explain(`${server.url}/?key=very-secret-key`))).not.toContain('very-secret')
  })
})
