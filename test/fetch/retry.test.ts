import { KeypoolError, wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { recordEvents } from '../helpers/events.js'
import { loopback } from '../helpers/loopback.js'

const QUICK = { minDelay: 1, maxDelay: 5 }

describe('a transient failure', () => {
  it.each([408, 425, 500, 502, 503, 504, 522])('with status %i is tried again', async status => {
    const server = await loopback((_, count) => (count === 1 ? { status } : { body: 'at last' }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: QUICK })
    const events = recordEvents(fetch)
    expect(await (await fetch(server.url)).text()).toBe('at last')
    expect(events.of('request-retried')).toMatchObject([
      { keyId: 'key-1', retry: 1, status, error: null, method: 'GET' },
    ])
  })

  it.each([501, 505, 404, 400])('is not what status %i means', async status => {
    const server = await loopback(() => ({ status, body: 'no' }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: QUICK })
    expect((await fetch(server.url)).status).toBe(status)
    expect(server.received).toHaveLength(1)
  })

  it('that lasts gives the last answer, whole and unread', async () => {
    const server = await loopback((_, count) => ({ status: 500, body: `answer ${count}` }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: { ...QUICK, retries: 2 } })
    const response = await fetch(server.url)
    expect(response.status).toBe(500)
    expect(response.bodyUsed).toBe(false)
    expect(await response.text()).toBe('answer 3')
  })

  it('of the connection is tried again, and rejects as fetch does when it lasts', async () => {
    const server = await loopback((_, count) => (count < 3 ? response => response.destroy() : { body: 'there' }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: { ...QUICK, retries: 2 } })
    const events = recordEvents(fetch)
    expect(await (await fetch(server.url)).text()).toBe('there')
    expect(events.of('request-retried')).toMatchObject([
      { retry: 1, status: null, error: 'fetch failed' },
      { retry: 2, status: null, error: 'fetch failed' },
    ])
    const dead = await loopback(() => response => response.destroy())
    const other = wrapFetch(globalThis.fetch, { origins: dead.url, keys: ['a'], retry: { ...QUICK, retries: 1 } })
    const error = await other(dead.url).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(TypeError)
    expect((error as TypeError).cause).toMatchObject({ code: 'UND_ERR_SOCKET' })
    expect(dead.received).toHaveLength(2)
  })

  it('of a request that is not idempotent is the answer', async () => {
    const server = await loopback(() => ({ status: 503 }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: QUICK })
    expect((await fetch(server.url, { method: 'POST', body: 'x' })).status).toBe(503)
    expect((await fetch(server.url, { method: 'PATCH', body: 'x' })).status).toBe(503)
    expect(server.received).toHaveLength(2)
  })

  it('of a POST with an Idempotency-Key is tried again with the same body', async () => {
    const server = await loopback((_, count) => (count === 1 ? { status: 503 } : {}))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: QUICK })
    const headers = { 'idempotency-key': '1' }
    expect((await fetch(server.url, { method: 'POST', body: 'x', headers })).status).toBe(200)
    expect(server.received.map(({ body }) => body)).toEqual(['x', 'x'])
  })

  it('of a streamed body can not be mended: it is the failure that fetch tells', async () => {
    const server = await loopback(() => response => response.destroy())
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: QUICK })
    const body = new Blob(['x']).stream()
    const failed = fetch(server.url, { method: 'PUT', body, duplex: 'half' } as RequestInit)
    await expect(failed).rejects.toBeInstanceOf(TypeError)
    expect(server.received).toHaveLength(1)
  })

  it('of a streamed body with an Idempotency-Key can not be mended either: the error says so and keeps the cause', async () => {
    const server = await loopback(() => response => response.destroy())
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: QUICK })
    const body = new Blob(['x']).stream()
    const headers = { 'idempotency-key': '1' }
    const error = await fetch(server.url, { method: 'POST', body, headers, duplex: 'half' } as RequestInit).catch(
      (error: unknown) => error,
    )
    expect(KeypoolError.is(error, 'ERR_BODY_NOT_REPLAYABLE')).toBe(true)
    expect((error as Error).cause).toBeInstanceOf(TypeError)
    expect(server.received).toHaveLength(1)
  })

  it('is left alone with retry: false', async () => {
    const server = await loopback(() => ({ status: 503 }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: false })
    expect((await fetch(server.url)).status).toBe(503)
    expect(server.received).toHaveLength(1)
  })

  it('asks the user, who may say no', async () => {
    const server = await loopback(() => ({ status: 503 }))
    const asked: unknown[] = []
    const shouldRetry = (failure: unknown) => {
      asked.push(failure)
      return false
    }
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: { ...QUICK, shouldRetry } })
    expect((await fetch(server.url)).status).toBe(503)
    expect(asked).toMatchObject([{ method: 'GET', retry: 1, status: 503, error: null }])
  })

  it('does not wait for a `shouldRetry` that never answers, beyond the call’s own end', async () => {
    const server = await loopback(() => ({ status: 503 }))
    const shouldRetry = () => new Promise<boolean>(() => {})
    const options = { origins: server.url, keys: ['a'], retry: { ...QUICK, shouldRetry } }
    await expect(wrapFetch(globalThis.fetch, { ...options, timeout: 50 })(server.url)).rejects.toMatchObject({
      code: 'ERR_TIMEOUT',
    })
    const signal = AbortSignal.timeout(50)
    await expect(wrapFetch(globalThis.fetch, options)(server.url, { signal })).rejects.toMatchObject({
      name: 'TimeoutError',
    })
  })

  it('is a matter of statuses that the user may choose', async () => {
    const server = await loopback((_, count) => (count === 1 ? { status: 404 } : { status: 503 }))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      retry: { ...QUICK, statuses: [404] },
    })
    expect((await fetch(server.url)).status).toBe(503)
    expect(server.received).toHaveLength(2)
  })
})

describe('Retry-After of a server in trouble', () => {
  it('is waited for', async () => {
    const server = await loopback((_, count) => (count === 1 ? { status: 503, headers: { 'retry-after': '0.2' } } : {}))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: QUICK })
    const events = recordEvents(fetch)
    await fetch(server.url)
    expect(events.of('request-retried')[0]!.delay).toBeGreaterThanOrEqual(200)
  })

  it('beyond maxWait ends it: the answer is the one that came', async () => {
    const server = await loopback(() => ({ status: 503, headers: { 'retry-after': '120' }, body: 'later' }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: QUICK })
    expect(await (await fetch(server.url)).text()).toBe('later')
    expect(server.received).toHaveLength(1)
  })
})

describe('timeout', () => {
  it('of an attempt is tried again where that is safe', async () => {
    const server = await loopback((_, count) => (count === 1 ? { delay: 2_000 } : { body: 'quick' }))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      retry: QUICK,
      timeout: { attempt: '150ms' },
    })
    expect(await (await fetch(server.url)).text()).toBe('quick')
  })

  it('of an attempt rejects like AbortSignal.timeout, with a code of its own', async () => {
    const server = await loopback(() => ({ delay: 2_000 }))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      retry: false,
      timeout: { attempt: 50 },
    })
    await expect(fetch(server.url)).rejects.toMatchObject({ name: 'TimeoutError', code: 'ERR_TIMEOUT' })
  })

  it('in total bounds waits, backoffs and attempts together', async () => {
    const server = await loopback(() => ({ status: 503, delay: 20 }))
    const retry = { retries: 1000, minDelay: 20, maxDelay: 20 }
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry, timeout: '300ms' })
    await expect(fetch(server.url)).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    const busy = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: { requests: 1, per: '1m' },
      timeout: '100ms',
      cache: false,
      retry: false,
    })
    await busy(server.url)
    await expect(busy(server.url)).rejects.toMatchObject({
      code: expect.stringMatching(/ERR_TIMEOUT|ERR_POOL_EXHAUSTED/),
    })
  })

  it('leaves a body alone that takes longer', async () => {
    const server = await loopback(() => response => {
      response.write('first ')
      setTimeout(() => response.end('last'), 400)
    })
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      timeout: { attempt: 200, total: 200 },
    })
    expect(await (await fetch(server.url)).text()).toBe('first last')
  })
})

describe('the retry budget', () => {
  const down = () => ({ status: 503, body: 'down' })
  const callAll = (fetch: typeof globalThis.fetch, url: string, calls: number) =>
    Promise.all(Array.from({ length: calls }, async (_, index) => (await fetch(`${url}/${index}`)).status))

  it('bounds what a pool sends to a service that is down', async () => {
    const server = await loopback(down)
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'], retry: QUICK, cache: false })
    const statuses = await callAll(fetch, server.url, 100)
    expect(new Set(statuses)).toEqual(new Set([503]))
    // Fifty, and those few that time gives back.
    expect(server.received.length).toBeLessThan(100 + 50 + 15)
    expect(server.received.length).toBeGreaterThanOrEqual(150)
    const { retries, retriesOverBudget } = fetch.pool.stats()
    expect(retries + 100).toBe(server.received.length)
    // Those few that time gives back may let a call have both of its retries.
    expect(retriesOverBudget).toBeGreaterThan(80)
    expect(retriesOverBudget).toBeLessThanOrEqual(100)
  })

  it('is filled again by calls that succeed', async () => {
    let isDown = true
    const server = await loopback(({ url }) => (isDown || url === '/flaky' ? { status: 503 } : { body: 'fine' }))
    const retry = { ...QUICK, retries: 1, budget: 1 }
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry, cache: false })
    await callAll(fetch, server.url, 2)
    isDown = false
    const before = fetch.pool.stats().retries
    await callAll(fetch, server.url, 6)
    await fetch(`${server.url}/flaky`)
    expect(fetch.pool.stats().retries).toBe(before + 1)
  })

  it('can be left away', async () => {
    const server = await loopback(down)
    const retry = { ...QUICK, budget: false as const }
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry, cache: false })
    await callAll(fetch, server.url, 100)
    expect(server.received).toHaveLength(300)
  })

  it('is no matter of going on with another key', async () => {
    const server = await loopback(({ headers }) =>
      headers.authorization === 'Bearer good' ? { body: 'fine' } : { status: 429 },
    )
    const retry = { ...QUICK, budget: 0 }
    const options = { keys: ['a', 'b', 'good'], strategy: 'fill-first', retry, cache: false } as const
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, ...options })
    expect((await fetch(server.url)).status).toBe(200)
  })

  it.each([-1, 1.5, 'many'])('is no %s', budget => {
    const options = { origins: 'https://a.example', keys: ['a'], retry: { budget: budget as never } }
    expect(() => wrapFetch(globalThis.fetch, options)).toThrow(/retry\.budget/)
  })
})
