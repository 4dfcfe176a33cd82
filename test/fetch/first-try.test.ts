import { type Options, wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { recordEvents } from '../helpers/events.js'

const ORIGIN = 'https://api.example.com'
const limited = (seconds: number, body: unknown = null) =>
  new Response(body === null ? null : JSON.stringify(body), {
    status: 429,
    headers: { 'retry-after': String(seconds), 'content-type': 'application/json' },
  })

/** A service that answers by the key and the number of the request, each answer after a while. */
function pool(
  answer: (key: string, count: number, body: string) => Response,
  options: Partial<Options> = {},
  takes = 50,
) {
  const sent: { readonly at: number; readonly key: string }[] = []
  const from = Date.now()
  const network: typeof globalThis.fetch = async (_, init) => {
    const key = new Headers(init?.headers).get('authorization')!.slice('Bearer '.length)
    sent.push({ at: Date.now() - from, key })
    const response = answer(key, sent.length, String(init?.body))
    await new Promise(resolve => setTimeout(resolve, takes))
    return response
  }
  const fetch = wrapFetch(network, { origins: ORIGIN, keys: ['a'], cache: false, retry: false, ...options })
  return { fetch, sent, events: recordEvents(fetch) }
}

describe('when the time is over that a server has named', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  it('one request tries, and the others wait for what comes of it', async () => {
    const { fetch, sent } = pool((_, count) => (count <= 3 ? limited(10) : new Response('ok')))
    const calls = Promise.all([fetch(ORIGIN)])
    await vi.advanceTimersByTimeAsync(100)
    const more = Promise.all(Array.from({ length: 20 }, () => fetch(ORIGIN)))
    await vi.advanceTimersByTimeAsync(40_000)
    expect((await calls)[0].status).toBe(200)
    expect((await more).every(({ status }) => status === 200)).toBe(true)
    // Refused three times, by one request each; then all.
    expect(sent).toHaveLength(21 + 3)
  })

  it('and does so within the patience of callers that have little left', async () => {
    const { fetch } = pool((_, count) => (count === 1 ? limited(2) : new Response('ok')), { maxWait: '2500ms' })
    const first = fetch(ORIGIN)
    await vi.advanceTimersByTimeAsync(100)
    const others = Promise.all(Array.from({ length: 5 }, () => fetch(ORIGIN)))
    await vi.advanceTimersByTimeAsync(4_000)
    expect((await first).status).toBe(200)
    expect((await others).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200])
  })

  it('an answer that takes its time holds the others up for a second only', async () => {
    const { fetch, sent } = pool((_, count) => (count === 1 ? limited(5) : new Response('ok')), {}, 8_000)
    const calls = Promise.all(Array.from({ length: 4 }, () => fetch(ORIGIN)))
    await vi.advanceTimersByTimeAsync(40_000)
    await calls
    const after = sent.slice(4).map(({ at }) => at)
    expect(after[0]! - 8_000).toBeGreaterThanOrEqual(0)
    expect(Math.max(...after) - Math.min(...after)).toBeLessThan(1_100)
  })

  it('the next one tries where the first gives up', async () => {
    const { fetch, sent } = pool((_, count) => (count === 1 ? limited(5) : new Response('ok')), {}, 600)
    const controller = new AbortController()
    const first = fetch(ORIGIN, { signal: controller.signal }).catch(() => 'aborted')
    await vi.advanceTimersByTimeAsync(700)
    const second = fetch(ORIGIN)
    await vi.advanceTimersByTimeAsync(5_200)
    expect(sent).toHaveLength(2)
    controller.abort()
    expect(await first).toBe('aborted')
    await vi.advanceTimersByTimeAsync(10)
    expect(sent).toHaveLength(3)
    await vi.advanceTimersByTimeAsync(2_000)
    expect((await second).status).toBe(200)
  })

  it('of a limit that all keys share, one request tries for all of them', async () => {
    let isLimited = true
    const keys = ['a', 'b', 'c', 'd', 'e']
    const { fetch, sent } = pool(() => (isLimited ? limited(20) : new Response('ok')), { keys })
    const calls = Promise.all(Array.from({ length: 20 }, () => fetch(ORIGIN)))
    await vi.advanceTimersByTimeAsync(19_000)
    const before = sent.length
    await vi.advanceTimersByTimeAsync(3_000)
    expect(sent.length - before).toBeLessThanOrEqual(2)
    isLimited = false
    await vi.advanceTimersByTimeAsync(22_000)
    expect((await calls).every(({ status }) => status === 200)).toBe(true)
  })

  it('of one address, too', async () => {
    let isLimited = true
    const keys = ['a', 'b', 'c']
    const provider = { name: 'one', signals: [{ status: 429, means: 'rate-limit', scope: 'address' }] } as const
    const { fetch, sent } = pool(() => (isLimited ? limited(20) : new Response('ok')), { keys, provider })
    const calls = Promise.all(Array.from({ length: 20 }, () => fetch(ORIGIN)))
    await vi.advanceTimersByTimeAsync(19_000)
    const before = sent.length
    await vi.advanceTimersByTimeAsync(20_000)
    expect(sent.length - before).toBe(1)
    isLimited = false
    await vi.advanceTimersByTimeAsync(22_000)
    expect((await calls).every(({ status }) => status === 200)).toBe(true)
  })

  it.each<[string, () => Response]>([
    ['an error of the server', () => new Response('no', { status: 500 })],
    [
      'a connection that fails',
      () => {
        throw Object.assign(new TypeError('fetch failed'), { cause: { code: 'ECONNREFUSED' } })
      },
    ],
    ['a request that is wrong', () => new Response('no', { status: 400 })],
    [
      'a redirect to another origin',
      () => new Response(null, { status: 302, headers: { location: 'https://cdn.example/f' } }),
    ],
  ])('%s does not make the others go one by one', async (_, answer) => {
    const sent: number[] = []
    let count = 0
    const network: typeof globalThis.fetch = async input => {
      if (String(input).startsWith('https://cdn')) return new Response('file')
      sent.push(Date.now())
      const isFirst = ++count === 1
      await new Promise(resolve => setTimeout(resolve, 100))
      return isFirst ? limited(1) : answer()
    }
    const options = { limits: { concurrency: 100 }, cache: false, retry: false } as const
    const fetch = wrapFetch(network, { origins: ORIGIN, keys: ['a'], ...options })
    const first = fetch(ORIGIN).catch(() => {})
    await vi.advanceTimersByTimeAsync(5_000)
    await first
    const later = Array.from({ length: 20 }, () => fetch(ORIGIN).catch(() => {}))
    const from = Date.now()
    await vi.advanceTimersByTimeAsync(1_000)
    await Promise.all(later)
    expect(Math.max(...sent) - from).toBeLessThan(400)
  })

  it('whoever finds no key is not the one that tries', async () => {
    const provider = {
      name: 'one',
      resource: 'model',
      signals: [{ status: 429, means: 'overload', scope: 'resource' }],
    } as const
    let count = 0
    const network: typeof globalThis.fetch = async (_, init) => {
      const { model } = JSON.parse(String(init?.body)) as { model: string }
      if (model === 'a' && ++count === 1) return limited(1)
      await new Promise(resolve => setTimeout(resolve, model === 'slow' ? 1_600 : 20))
      return new Response('ok')
    }
    const options = { keys: ['a'], limits: { concurrency: 1 }, maxWait: '800ms', cache: false, retry: false } as const
    const fetch = wrapFetch(network, { origins: ORIGIN, provider, onExhausted: 'respond', ...options })
    const ask = (model: string) => fetch(ORIGIN, { method: 'POST', body: JSON.stringify({ model }) })
    const first = ask('a')
    await vi.advanceTimersByTimeAsync(50)
    const slow = ask('slow')
    await vi.advanceTimersByTimeAsync(1_300)
    const [second, third] = [ask('a'), ask('a')]
    await vi.advanceTimersByTimeAsync(2_000)
    expect((await Promise.all([slow, second, third])).map(({ status }) => status)).toEqual([200, 200, 200])
    expect((await first).status).toBe(429)
  })
})

describe('a resource that is overloaded', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  const upstream = {
    error: {
      code: 429,
      message: 'Provider returned error',
      metadata: { raw: 'a/b is temporarily rate-limited upstream.' },
    },
  }
  const ask = (fetch: typeof globalThis.fetch, model: string) =>
    fetch(ORIGIN, { method: 'POST', body: JSON.stringify({ model }), headers: { 'content-type': 'application/json' } })

  it('rests, whatever the key; others are served, and no key is blamed', async () => {
    let isLimited = true
    const { fetch, sent, events } = pool(
      (_, __, body) => (isLimited && body.includes('a/b') ? limited(10, upstream) : new Response('ok')),
      { keys: ['a', 'b', 'c'], provider: 'openrouter' },
    )
    const calls = Promise.all(Array.from({ length: 5 }, () => ask(fetch, 'a/b')))
    await vi.advanceTimersByTimeAsync(1_000)
    expect(sent.length).toBeLessThanOrEqual(5)
    const other = ask(fetch, 'a/c')
    await vi.advanceTimersByTimeAsync(100)
    expect((await other).status).toBe(200)
    expect(events.of('key-exhausted')).toEqual([])
    expect(fetch.pool.keys().map(({ state, parts }) => [state, parts])).toEqual([
      ['ready', []],
      ['ready', []],
      ['ready', []],
    ])
    isLimited = false
    await vi.advanceTimersByTimeAsync(12_000)
    expect((await calls).every(({ status }) => status === 200)).toBe(true)
  })

  it.each(['a list of models', 'a stream', 'a blob'])(
    'whose name can’t be told, in %s, closes nothing for others',
    async kind => {
      const { fetch } = pool((_, count) => (count === 1 ? limited(30, upstream) : new Response('ok')), {
        ...{ keys: ['a', 'b'], provider: 'openrouter' },
      })
      const text = JSON.stringify({ models: ['a/b:free', 'a/c'] })
      const body = kind === 'a stream' ? new Blob([text]).stream() : kind === 'a blob' ? new Blob([text]) : text
      const first = fetch(ORIGIN, { method: 'POST', body, duplex: 'half' } as RequestInit)
      await vi.advanceTimersByTimeAsync(1_000)
      expect((await first).status).toBe(429)
      const second = ask(fetch, 'a/b:free')
      await vi.advanceTimersByTimeAsync(1_000)
      expect((await second).status).toBe(200)
    },
  )

  it('that does not say for how long is tried again by one request in a while, ever more seldom', async () => {
    const { fetch, sent } = pool(() => new Response(JSON.stringify(upstream), { status: 429 }), {
      ...{ keys: ['a', 'b'], provider: 'openrouter', maxWait: '60s', onExhausted: 'respond' },
    })
    const calls = Promise.all(Array.from({ length: 10 }, () => ask(fetch, 'a/b')))
    await vi.advanceTimersByTimeAsync(500)
    expect(sent.length).toBeLessThanOrEqual(10)
    const before = sent.length
    await vi.advanceTimersByTimeAsync(61_000)
    expect(sent.length - before).toBeLessThanOrEqual(8)
    expect((await calls).map(({ status }) => status)).toEqual(Array(10).fill(429))
  })

  it('does not close what a provider calls by the same name', async () => {
    const { fetch } = pool((_, count) => (count === 1 ? limited(30, upstream) : new Response('ok')), {
      ...{ keys: ['a', 'b'], provider: 'openrouter', onExhausted: 'respond', maxWait: '1s' },
    })
    const first = ask(fetch, 'free models')
    await vi.advanceTimersByTimeAsync(2_000)
    expect((await first).status).toBe(429)
    const second = ask(fetch, 'a/b:free')
    await vi.advanceTimersByTimeAsync(1_000)
    expect((await second).status).toBe(200)
  })

  it('is named by what a call finds that waited in vain', async () => {
    const { fetch, events } = pool(() => limited(30, upstream), {
      keys: ['a', 'b'],
      provider: 'openrouter',
      maxWait: '1s',
    })
    const call = ask(fetch, 'a/b').catch((error: unknown) => error)
    await vi.advanceTimersByTimeAsync(2_000)
    const shared = { cause: 'overload', scope: 'resource', keyIds: ['key-1'] }
    expect(await call).toMatchObject({ code: 'ERR_POOL_EXHAUSTED', shared, causes: [{ cause: null }, { cause: null }] })
    expect(events.of('pool-exhausted')).toMatchObject([{ shared }])
  })
})

describe('a limit that keys share', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  it('is told as that, with what shows it; keys that were not tried have no cause', async () => {
    const keys = Array.from({ length: 40 }, (_, index) => `k${index}`)
    const { fetch, sent, events } = pool(() => limited(30), { keys, maxWait: '20ms' }, 0)
    const call = fetch(ORIGIN).catch((error: unknown) => error as Error)
    await vi.advanceTimersByTimeAsync(5_000)
    const error = await call
    const tried = new Set(sent.map(({ key }) => `key-${Number(key.slice(1)) + 1}`))
    expect(tried.size).toBeLessThan(40)
    const accounts = events.of('key-exhausted').filter(({ scope }) => scope === 'account')
    expect(accounts.length).toBeGreaterThanOrEqual(1)
    for (const { keyId, alike } of accounts) {
      expect(alike.length).toBeGreaterThanOrEqual(1)
      expect(alike).not.toContain(keyId)
    }
    expect(error).toMatchObject({ code: 'ERR_POOL_EXHAUSTED', shared: { scope: 'account', cause: 'rate-limit' } })
    expect((error as Error).message).toMatch(/seem to share one limit/)
    const [exhausted] = events.of('pool-exhausted')
    for (const { keyId, cause } of exhausted!.causes) expect(cause).toBe(tried.has(keyId) ? 'rate-limit' : null)
    expect(exhausted!.shared!.keyIds.every(id => tried.has(id))).toBe(true)
  })
})

describe('parts that callers name', () => {
  it('are kept up to a bound, also those that rest', async () => {
    const refused = { status: 429, headers: { 'retry-after': '3600' } }
    const network: typeof globalThis.fetch = async () => new Response(null, refused)
    const options = { keys: ['a'], scope: 'model', maxWait: 0, onExhausted: 'respond', cache: false } as const
    const fetch = wrapFetch(network, { origins: ORIGIN, ...options })
    for (let index = 0; index < 1_200; index++) {
      const response = await fetch(ORIGIN, { method: 'POST', body: JSON.stringify({ model: `model ${index}` }) })
      expect(response.status).toBe(429)
    }
    expect(fetch.pool.keys()[0]!.parts).toHaveLength(1_000)
  })
})

describe('a strategy of the program', () => {
  it('that is asked too late for its request takes no permit away', async () => {
    const network: typeof globalThis.fetch = async () => new Response('ok')
    const limits = [{ requests: 1, per: '200ms' }, { concurrency: 1 }] as const
    const fetch = wrapFetch(network, {
      ...{ origins: ORIGIN, keys: ['a'], limits, maxWait: '260ms', cache: false, retry: false },
      strategy: usable => usable[0]!.id,
    })
    await (await fetch(ORIGIN)).text()
    const late = fetch(ORIGIN).catch((error: unknown) => error)
    await new Promise(resolve => setTimeout(resolve, 20))
    const end = Date.now() + 400
    while (Date.now() < end);
    expect(await late).toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
    await new Promise(resolve => setTimeout(resolve, 300))
    expect((await fetch(ORIGIN)).status).toBe(200)
    expect(fetch.pool.stats().inFlight).toBeLessThanOrEqual(1)
  })
})
