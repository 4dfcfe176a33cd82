import { wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { loopback } from '../helpers/loopback.js'

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))
const ONE_A_MINUTE = { requests: 1, per: '1m' } as const

describe("a caller's abort", () => {
  it('before the call sends nothing and rejects with the reason', async () => {
    const server = await loopback(() => ({}))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'] })
    const reason = { why: 'mine' }
    await expect(fetch(server.url, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    await expect(fetch(server.url, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' })
    expect(server.received).toHaveLength(0)
  })

  it('in the queue takes the request out at once, at no cost to any key', async () => {
    const server = await loopback(() => ({}))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: ONE_A_MINUTE,
      maxWait: '2m',
      cache: false,
    })
    await fetch(server.url)
    const controller = new AbortController()
    const waiting = Array.from({ length: 50 }, () => fetch(server.url, { signal: controller.signal }))
    await pause(20)
    expect(fetch.pool.stats().waiting).toBe(50)
    controller.abort('enough')
    const settled = await Promise.allSettled(waiting)
    expect(settled.every(each => each.status === 'rejected' && each.reason === 'enough')).toBe(true)
    expect(fetch.pool.stats().waiting).toBe(0)
    expect(server.received).toHaveLength(1)
    expect(fetch.pool.keys()[0]).toMatchObject({ remaining: 0, inFlight: 0, state: 'busy', cause: null })
    await fetch.close()
  })

  it('lets those behind it go on', async () => {
    const server = await loopback(() => ({}))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: { requests: 1, per: 200 },
      cache: false,
    })
    await fetch(server.url)
    const controller = new AbortController()
    const first = fetch(`${server.url}/first`, { signal: controller.signal })
    const second = fetch(`${server.url}/second`)
    await pause(10)
    controller.abort()
    await expect(first).rejects.toMatchObject({ name: 'AbortError' })
    expect((await second).status).toBe(200)
    expect(server.received.map(({ url }) => url)).toEqual(['/', '/second'])
  })

  it('in a backoff sends nothing afterwards', async () => {
    const server = await loopback(() => ({ status: 503 }))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      retry: { minDelay: 60_000, maxDelay: 60_000 },
    })
    const controller = new AbortController()
    const answer = fetch(server.url, { signal: controller.signal })
    await pause(100)
    controller.abort(new Error('no more'))
    await expect(answer).rejects.toThrow('no more')
    await pause(50)
    expect(server.received).toHaveLength(1)
  })

  it('in flight rejects with the reason and harms no key', async () => {
    const server = await loopback(() => ({ delay: 5_000 }))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: { concurrency: 1 },
      retry: 3,
    })
    const controller = new AbortController()
    const answer = fetch(server.url, { signal: controller.signal })
    while (server.received.length === 0) await pause(5)
    controller.abort('mine')
    await expect(answer).rejects.toBe('mine')
    expect(fetch.pool.keys()[0]).toMatchObject({ state: 'ready', inFlight: 0, cause: null })
    expect(server.received).toHaveLength(1)
  })

  it('while the body streams ends the stream and frees its permit', async () => {
    const server = await loopback(() => response => void response.write('beginning'))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], limits: { concurrency: 1 } })
    const controller = new AbortController()
    const response = await fetch(server.url, { signal: controller.signal })
    const reader = response.body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('beginning')
    expect(fetch.pool.keys()[0]).toMatchObject({ state: 'busy', inFlight: 1 })
    controller.abort()
    await expect(reader.read()).rejects.toMatchObject({ name: 'AbortError' })
    await pause(10)
    expect(fetch.pool.keys()[0]).toMatchObject({ state: 'ready', inFlight: 0 })
  })

  it('leaves no listener on the signal', async () => {
    const server = await loopback(() => ({}))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: { requests: 2, per: 50 },
      cache: false,
      timeout: '30s',
    })
    const { signal } = new AbortController()
    let listeners = 0
    const add = signal.addEventListener.bind(signal)
    const remove = signal.removeEventListener.bind(signal)
    signal.addEventListener = (...args: Parameters<typeof add>) => {
      listeners++
      return add(...args)
    }
    signal.removeEventListener = (...args: Parameters<typeof remove>) => {
      listeners--
      return remove(...args)
    }
    const quiet = wrapFetch(async () => new Response('ok'), {
      origins: server.url,
      keys: ['a'],
      limits: { requests: 2, per: 50 },
      cache: false,
    })
    await Promise.all(Array.from({ length: 8 }, () => quiet(server.url, { signal })))
    expect(listeners).toBe(0)
    await fetch.close()
  })
})

describe('many calls with one signal', () => {
  it('make the runtime warn of no leak, in line, in a backoff, or joined to one another', async () => {
    const warnings: Error[] = []
    const note = (warning: Error) => warnings.push(warning)
    process.on('warning', note)
    let refusals = 0
    const network = async (input: RequestInfo | URL) => {
      await pause(5)
      return String(input).endsWith('/retried') && refusals++ < 40
        ? new Response(null, { status: 503 })
        : new Response('ok')
    }
    const options = {
      origins: 'https://a.example',
      keys: ['a'],
      limits: { requests: 100, per: 50 },
      retry: { minDelay: 5 },
    } as const
    const fetch = wrapFetch(network as typeof globalThis.fetch, options)
    const { signal } = new AbortController()
    const calls = ['retried?', 'joined', 'line?'].flatMap(path =>
      Array.from({ length: 60 }, (_, index) => path.replace('?', `?${index}`)),
    )
    await Promise.all(
      calls.map(path => fetch(`https://a.example/${path.replace(/^retried\?\d+/, '$&/retried')}`, { signal })),
    )
    await pause(10)
    process.off('warning', note)
    expect(warnings).toEqual([])
  })
})

describe('close', () => {
  it('sends away those that wait, takes no more, and lets those on their way end', async () => {
    const server = await loopback(() => ({ delay: 100, body: 'done' }))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: ONE_A_MINUTE,
      maxWait: '2m',
      cache: false,
    })
    const underWay = fetch(server.url)
    const waiting = fetch(server.url)
    await pause(20)
    const closing = fetch.close()
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await expect(fetch(server.url)).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await closing
    expect(await (await underWay).text()).toBe('done')
  })

  it('is the end of rotating and retrying: the answer that came is the answer', async () => {
    for (const status of [429, 503]) {
      const server = await loopback(() => ({ status, delay: 400, body: `${status}` }))
      const fetch = wrapFetch(globalThis.fetch, {
        origins: server.url,
        keys: ['a', 'b', 'c'],
        retry: { retries: 5, minDelay: 1 },
      })
      const underWay = fetch(server.url)
      while (server.received.length === 0) await pause(5)
      await fetch.close()
      expect(await (await underWay).text()).toBe(`${status}`)
      expect(server.received).toHaveLength(1)
    }
  })

  it('waits for what is done in the background', async () => {
    const server = await loopback((_, count) => ({
      headers: { 'cache-control': 'max-age=0, stale-while-revalidate=60' },
      delay: count > 1 ? 100 : 0,
    }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'] })
    await (await fetch(server.url)).text()
    await (await fetch(server.url)).text()
    while (server.received.length < 2) await pause(5)
    await fetch.close()
    expect(fetch.pool.stats().inFlight).toBe(0)
  })
})
