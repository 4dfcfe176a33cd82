import type { AddressInfo } from 'node:net'
import { connect, createServer, type Server } from 'node:net'
import { wrapFetch } from 'fetch-keypool'
import { afterEach, describe, expect, it } from 'vitest'
import { loopback } from '../helpers/loopback.js'

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))

let raw: Server | undefined
afterEach(() => void raw?.close())

/** A server that answers every request with these very bytes. */
async function bytes(answer: (path: string) => string): Promise<string> {
  raw = createServer(socket => {
    socket.on('data', data => {
      const path = /^\w+ (\S+)/.exec(data.toString('latin1'))?.[1] ?? '/'
      socket.end(Buffer.from(answer(path), 'latin1'))
    })
    socket.on('error', () => socket.destroy())
  })
  await new Promise<void>(resolve => raw!.listen(0, '127.0.0.1', resolve))
  const { port } = raw.address() as AddressInfo
  connect(port, '127.0.0.1').destroy()
  return `http://127.0.0.1:${port}`
}

describe('a server that misbehaves', () => {
  it('with bytes in its reason phrase that no constructor takes is answered as ever, and leaks no permit', async () => {
    const url = await bytes(
      () => 'HTTP/1.1 200 Non trouv\xe9\r\ncontent-length: 2\r\ncache-control: max-age=60\r\n\r\nok',
    )
    const fetch = wrapFetch(globalThis.fetch, { origins: url, keys: ['a'], limits: { concurrency: 1 } })
    const bare = await globalThis.fetch(url)
    for (let index = 0; index < 3; index++) {
      const response = await fetch(url)
      expect(response.statusText).toBe(bare.statusText)
      expect(response.clone().statusText).toBe(bare.statusText)
      expect(await response.text()).toBe('ok')
    }
    await pause(20)
    expect(fetch.pool.keys()[0]!.inFlight).toBe(0)
  })

  it('with a location in raw UTF-8 is followed as fetch does', async () => {
    const url = await bytes(path =>
      path === '/'
        ? 'HTTP/1.1 302 Found\r\nlocation: /caf\xc3\xa9\r\ncontent-length: 0\r\n\r\n'
        : `HTTP/1.1 200 OK\r\ncontent-length: ${path.length}\r\n\r\n${path}`,
    )
    const fetch = wrapFetch(globalThis.fetch, { origins: url, keys: ['a'] })
    expect(await (await fetch(url)).text()).toBe(await (await globalThis.fetch(url)).text())
  })

  it('whose 503 never ends does not hold the permit that its retry needs', async () => {
    const server = await loopback((_, count) =>
      count === 1
        ? response => {
            response.writeHead(503)
            response.write('still going')
          }
        : { body: 'fine' },
    )
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: { concurrency: 1 },
      retry: { minDelay: 1 },
    })
    expect(await (await fetch(server.url)).text()).toBe('fine')
    await pause(20)
    expect(fetch.pool.keys()[0]!.inFlight).toBe(0)
  })

  it('whose refusals and redirects take their time is never asked more at once than it allows', async () => {
    let now = 0
    let peak = 0
    const slowly =
      (status: number, headers: Record<string, string>) => (response: import('node:http').ServerResponse) => {
        response.writeHead(status, headers)
        response.write('x')
        setTimeout(() => {
          now--
          response.end()
        }, 40)
      }
    const server = await loopback(({ url }, count) => {
      peak = Math.max(peak, ++now)
      if (url === '/start') return slowly(302, { location: '/end' })
      return count === 3 ? slowly(429, { 'retry-after-ms': '60' }) : slowly(200, {})
    })
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: { concurrency: 3 },
      cache: false,
    })
    const responses = await Promise.all(Array.from({ length: 12 }, () => fetch(`${server.url}/start`)))
    expect(responses.every(({ status }) => status === 200)).toBe(true)
    expect(peak).toBeLessThanOrEqual(3)
  })

  it('that stalls in a 403 is given two seconds to say what it means', async () => {
    const server = await loopback(() => response => {
      response.writeHead(403, { 'content-type': 'application/json' })
      response.write('{"message":"the resource')
      setTimeout(() => response.end(' is not yours"}'), 3_000)
    })
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'] })
    const response = await fetch(server.url)
    expect(response.status).toBe(403)
    expect(await response.json()).toEqual({ message: 'the resource is not yours' })
  })
})

describe('an unread body', () => {
  it.each([65_535, 65_536])('of %i bytes gives its permit back', async length => {
    const server = await loopback(() => ({ body: 'x'.repeat(length) }))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: { concurrency: 1 },
      cache: false,
      maxWait: '5s',
    })
    const responses = [await fetch(server.url), await fetch(server.url)]
    expect(await responses[0]!.text()).toHaveLength(length)
  })
})

describe('code of others that never settles', () => {
  const never = () => new Promise<never>(() => {})

  it('in keys ends with an abort, the timeout, maxWait, or close', async () => {
    const options = { origins: 'https://api.example.com', keys: never } as const
    const url = 'https://api.example.com/'
    const network = async () => new Response('ok')
    const controller = new AbortController()
    const aborted = wrapFetch(network, options)(url, { signal: controller.signal })
    controller.abort('mine')
    await expect(aborted).rejects.toBe('mine')
    await expect(wrapFetch(network, { ...options, timeout: 20 })(url)).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    await expect(wrapFetch(network, { ...options, maxWait: 20 })(url)).rejects.toMatchObject({
      code: 'ERR_KEYS_UNAVAILABLE',
    })
    const closed = wrapFetch(network, options)
    const call = closed(url)
    const closing = closed.close()
    await expect(call).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await closing
  })

  it('in auth ends with an abort or the timeout, at no cost to the key', async () => {
    const server = await loopback(() => ({}))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      auth: never,
      limits: [{ concurrency: 1 }, { requests: 5, per: '1m' }],
      timeout: 50,
    })
    await expect(fetch(server.url)).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    expect(fetch.pool.keys()[0]).toMatchObject({ inFlight: 0, remaining: 5, state: 'ready' })
    expect(server.received).toHaveLength(0)
  })

  it('in a store is a miss after a second, and an abort does not wait for that', async () => {
    const server = await loopback(() => ({ body: 'fine' }))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      cache: { store: { get: never, set: never, delete: never } },
    })
    const controller = new AbortController()
    const aborted = fetch(server.url, { signal: controller.signal })
    controller.abort('mine')
    await expect(aborted).rejects.toBe('mine')
    expect(await (await fetch(server.url)).text()).toBe('fine')
    expect(fetch.pool.stats().cache.storeErrors).toBeGreaterThan(0)
    await fetch(server.url, { method: 'POST' })
  })
})
