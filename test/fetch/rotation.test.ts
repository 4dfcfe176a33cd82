import { KeypoolError, wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { recordEvents } from '../helpers/events.js'
import { loopback } from '../helpers/loopback.js'

const limited = (headers: Record<string, string> = {}) => ({ status: 429, headers, body: '{"error":"slow down"}' })

describe('a refused key', () => {
  it('is left at once for the next fresh key, with no backoff and no retry', async () => {
    const server = await loopback(({ key }) => (key === 'a' ? limited({ 'retry-after': '30' }) : { body: key }))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a', 'b'],
      retry: false,
      strategy: 'fill-first',
    })
    const events = recordEvents(fetch)
    const response = await fetch(`${server.url}/x`)
    expect(await response.text()).toBe('b')
    expect(server.keys()).toEqual(['a', 'b'])
    expect(events.of('key-exhausted')).toMatchObject([
      { keyId: 'key-1', cause: 'rate-limit', scope: 'key', status: 429 },
    ])
    expect(events.of('key-rotated')).toMatchObject([{ keyId: 'key-2', previousKeyId: 'key-1', cause: 'rate-limit' }])
    expect(fetch.pool.stats()).toMatchObject({ rotations: 1, retries: 0, refusals: { 'rate-limit': 1 } })
  })

  it('is not used again before the server wants it', async () => {
    const server = await loopback(({ key }) => (key === 'a' ? limited({ 'retry-after': '30' }) : {}))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'], cache: false })
    for (let index = 0; index < 6; index++) await fetch(`${server.url}/x`)
    expect(server.keys().filter(key => key === 'a')).toHaveLength(1)
    const [first] = fetch.pool.keys()
    expect(first).toMatchObject({ id: 'key-1', state: 'cooling', cause: 'rate-limit' })
    expect(first!.until!.getTime() - Date.now()).toBeGreaterThan(25_000)
  })

  it('recovers after the wait, and says how long it was away', async () => {
    const server = await loopback((_, count) => (count === 1 ? limited({ 'retry-after-ms': '80' }) : {}))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'] })
    const events = recordEvents(fetch)
    expect((await fetch(server.url)).status).toBe(200)
    expect(server.received).toHaveLength(2)
    const [recovered] = events.of('key-recovered')
    expect(recovered).toMatchObject({ keyId: 'key-1', cause: 'rate-limit' })
    expect(recovered!.downFor).toBeGreaterThanOrEqual(80)
    expect(fetch.pool.keys()[0]).toMatchObject({ state: 'ready', lastCause: 'rate-limit' })
  })

  it('gives its refusal to POST requests as well: what was refused is safe to send again', async () => {
    const server = await loopback(({ key, body }) => (key === 'a' ? limited() : { body: `${key}:${body}` }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'], strategy: 'fill-first' })
    const bodies: [string, BodyInit][] = [
      ['text', 'text'],
      ['bytes', new TextEncoder().encode('bytes')],
      ['buffer', new TextEncoder().encode('buffer').buffer],
      ['a=form', new URLSearchParams({ a: 'form' })],
      ['blob', new Blob(['blob'])],
    ]
    for (const [sent, body] of bodies) {
      fetch.pool.reset()
      expect(await (await fetch(server.url, { method: 'POST', body })).text()).toBe(`b:${sent}`)
    }
    fetch.pool.reset()
    const form = new FormData()
    form.append('field', 'value')
    expect(await (await fetch(server.url, { method: 'POST', body: form })).text()).toMatch(/^b:.*name="field".*value/s)
    fetch.pool.reset()
    const request = new Request(server.url, { method: 'POST', body: 'in a Request' })
    expect(await (await fetch(request)).text()).toBe('b:in a Request')
    expect(request.bodyUsed).toBe(true)
  })

  it('is the answer when the body is a stream, which is sent once', async () => {
    const server = await loopback(() => limited())
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'] })
    const body = new Blob(['streamed']).stream()
    const response = await fetch(server.url, { method: 'POST', body, duplex: 'half' } as RequestInit)
    expect(response.status).toBe(429)
    expect(await response.json()).toEqual({ error: 'slow down' })
    expect(server.received.map(({ body }) => body)).toEqual(['streamed'])
  })

  it('shares its cooldown with its group', async () => {
    const server = await loopback(({ key }) => (key === 'c' ? { body: 'c' } : limited({ 'retry-after': '60' })))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      strategy: 'fill-first',
      keys: [{ value: 'a', group: 'one account' }, { value: 'b', group: 'one account' }, { value: 'c' }],
    })
    const events = recordEvents(fetch)
    await fetch(server.url)
    expect(server.keys()).toEqual(['a', 'c'])
    expect(events.of('key-exhausted')).toMatchObject([{ keyId: 'key-1', scope: 'group' }])
    expect(fetch.pool.keys().map(({ state }) => state)).toEqual(['cooling', 'cooling', 'ready'])
  })

  it('of 402 is out of quota', async () => {
    const server = await loopback(({ key }) => (key === 'a' ? { status: 402 } : {}))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'], strategy: 'fill-first' })
    const events = recordEvents(fetch)
    await fetch(server.url)
    expect(events.of('key-exhausted')).toMatchObject([{ keyId: 'key-1', cause: 'quota', until: null }])
  })
})

describe('when the server does not say when to come back', () => {
  it('one request at a time tries, and a success opens the key for all', async () => {
    let refuse = true
    let concurrent = 0
    /** The most requests at once while each of them was served, in the order of their ends. */
    const peaks: number[] = []
    const server = await loopback(async () => {
      if (refuse) return limited()
      let peak = ++concurrent
      for (let index = 0; index < 10; index++) {
        await new Promise(resolve => setTimeout(resolve, 10))
        peak = Math.max(peak, concurrent)
      }
      concurrent--
      peaks.push(peak)
      return {}
    })
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], cache: false })
    const refused = new Promise(resolve => fetch.pool.once('key-exhausted', resolve))
    const first = fetch(server.url)
    await refused
    refuse = false
    const rest = [1, 2, 3].map(() => fetch(server.url))
    await first
    await Promise.all(rest)
    expect(peaks[0]).toBe(1)
    expect(Math.max(...peaks)).toBeGreaterThan(1)
    expect(server.received).toHaveLength(5)
  })
})

describe('a bad key', () => {
  it('is disabled by 401, and the request goes on with another', async () => {
    const server = await loopback(({ key }) => (key === 'bad' ? { status: 401 } : { body: key }))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['bad', 'good'],
      strategy: 'fill-first',
      cache: false,
    })
    const events = recordEvents(fetch)
    for (let index = 0; index < 3; index++) expect(await (await fetch(server.url)).text()).toBe('good')
    expect(server.keys()).toEqual(['bad', 'good', 'good', 'good'])
    const [disabled] = events.of('key-disabled')
    expect(disabled).toMatchObject({ keyId: 'key-1', cause: 'invalid-key', status: 401 })
    expect(disabled!.probeAt!.getTime()).toBeGreaterThan(Date.now() + 50_000)
    expect(fetch.pool.keys()[0]).toMatchObject({ state: 'disabled', cause: 'invalid-key' })
  })

  it.each([
    ['a code in the body', { 'content-type': 'application/json' }, '{"error":{"code":"invalid_api_key"}}'],
    [
      'words in the body',
      { 'content-type': 'application/json' },
      '{"message":"API key not valid. Please pass a valid API key."}',
    ],
    ['a bearer challenge', { 'www-authenticate': 'Bearer error="invalid_token"' }, ''],
  ])('is disabled by a 403 with %s', async (_, headers, body) => {
    const server = await loopback(({ key }) => (key === 'bad' ? { status: 403, headers, body } : {}))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['bad', 'good'], strategy: 'fill-first' })
    expect((await fetch(server.url)).status).toBe(200)
    expect(fetch.pool.keys()[0]).toMatchObject({ state: 'disabled', cause: 'invalid-key' })
  })

  it('is not what a 403 about the resource means: that is the answer, whole', async () => {
    const body = JSON.stringify({ message: 'You may not see this repository.' })
    const server = await loopback(() => ({ status: 403, headers: { 'content-type': 'application/json' }, body }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'] })
    const response = await fetch(`${server.url}/secret`)
    expect(response.status).toBe(403)
    expect(response.bodyUsed).toBe(false)
    expect(response.url).toBe(`${server.url}/secret`)
    expect(await response.text()).toBe(body)
    expect(server.received).toHaveLength(1)
    expect(fetch.pool.keys().every(({ state }) => state === 'ready')).toBe(true)
  })

  it('is told from a 403 that is a rate limit', async () => {
    const headers = { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(Math.ceil(Date.now() / 1000) + 60) }
    const server = await loopback(({ key }) => (key === 'a' ? { status: 403, headers } : {}))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'], strategy: 'fill-first' })
    await fetch(server.url)
    const [first] = fetch.pool.keys()
    expect(first).toMatchObject({ state: 'cooling', cause: 'rate-limit' })
    expect(first!.until!.getTime() - Date.now()).toBeGreaterThan(50_000)
  })
})

describe('a pool with nothing usable left', () => {
  it('throws with the causes and the time of return, at once where waiting is no use', async () => {
    const server = await loopback(({ key }) => (key === 'a' ? limited({ 'retry-after': '3600' }) : { status: 401 }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'], maxWait: '5s' })
    const events = recordEvents(fetch)
    const error = await fetch(server.url).catch((error: unknown) => error)
    expect(KeypoolError.is(error, 'ERR_POOL_EXHAUSTED')).toBe(true)
    if (!KeypoolError.is(error, 'ERR_POOL_EXHAUSTED')) return
    expect(error.retryAt!.getTime() - Date.now()).toBeGreaterThan(3_500_000)
    expect(error.causes).toMatchObject([
      { keyId: 'key-1', cause: 'rate-limit' },
      { keyId: 'key-2', cause: 'invalid-key', until: null },
    ])
    expect(error.message).toContain('key-1: rate-limit')
    expect(events.of('pool-exhausted')).toHaveLength(1)
    await fetch(server.url).catch(() => {})
    expect(events.of('pool-exhausted')).toHaveLength(1)
    expect(server.received).toHaveLength(2)
  })

  it('says so when all keys are bad, and hands over what the server said', async () => {
    const server = await loopback(() => ({ status: 401, body: 'who are you?' }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'] })
    const error = await fetch(server.url).catch((error: unknown) => error)
    expect(error).toMatchObject({
      code: 'ERR_POOL_EXHAUSTED',
      retryAt: null,
      response: { status: 401, bodyUsed: false },
    })
    expect(await (error as { response: Response }).response.text()).toBe('who are you?')
    expect(server.received).toHaveLength(2)
    const responding = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], onExhausted: 'respond' })
    expect(await (await responding(server.url)).text()).toBe('who are you?')
    const second = await responding(server.url)
    expect(second.status).toBe(401)
    expect(second.headers.get('x-should-retry')).toBe('false')
    expect(await second.json()).toMatchObject({ error: { type: 'authentication_error' } })
  })

  it("answers with the server's own refusal when told to respond", async () => {
    const server = await loopback(() => limited({ 'retry-after': '3600', 'x-mine': 'yes' }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], onExhausted: 'respond' })
    const response = await fetch(server.url)
    expect(response.status).toBe(429)
    expect(response.headers.get('x-mine')).toBe('yes')
    expect(await response.json()).toEqual({ error: 'slow down' })
  })

  it('answers with a 429 of its own where the server was not asked', async () => {
    const server = await loopback(() => limited({ 'retry-after': '3600' }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], onExhausted: 'respond' })
    await fetch(server.url)
    const response = await fetch(server.url)
    expect(response.status).toBe(429)
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(3_500)
    expect(await response.json()).toMatchObject({ error: { type: 'rate_limit_error', code: 'ERR_POOL_EXHAUSTED' } })
    expect(server.received).toHaveLength(1)
  })

  it('waits for the earliest key when it is back within maxWait', async () => {
    const server = await loopback(({ key }, count) =>
      count > 2 ? { body: key } : limited({ 'retry-after-ms': key === 'a' ? '5000' : '120' }),
    )
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a', 'b'], maxWait: '2s' })
    expect(await (await fetch(server.url)).text()).toBe('b')
  })
})

describe('an overload', () => {
  it.each([503, 529])('of %i never blames a key', async status => {
    const server = await loopback((_, count) => (count === 1 ? { status } : {}))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], retry: { minDelay: 1 } })
    const events = recordEvents(fetch)
    expect((await fetch(server.url)).status).toBe(200)
    expect(events.of('key-exhausted')).toEqual([])
    expect(fetch.pool.stats().refusals.overload).toBe(1)
  })
})
