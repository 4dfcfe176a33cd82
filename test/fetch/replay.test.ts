import { wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { loopback } from '../helpers/loopback.js'

const MIB = 1024 * 1024

describe('a request that is refused with one key', () => {
  const tired = () =>
    loopback(({ key, body }) =>
      key === 'tired'
        ? { status: 429, headers: { 'retry-after': '60' }, body: '{}' }
        : { body: `${body.length} ${new Set(body).size}` },
    )
  const options = (origins: string) => ({
    ...{ origins, keys: ['tired', 'fresh'], strategy: 'fill-first' as const, maxWait: 100 },
    onExhausted: 'respond' as const,
  })
  const form = (size: number) => {
    const data = new FormData()
    data.set('a', new Blob(['A'.repeat(size)]))
    return data
  }

  it.each<[string, (url: string, size: number) => Parameters<typeof globalThis.fetch>]>([
    ['a URL and text', (url, size) => [url, { method: 'POST', body: 'A'.repeat(size) }]],
    ['a Request of a text', (url, size) => [new Request(url, { method: 'POST', body: 'A'.repeat(size) })]],
    ['a Request of a blob', (url, size) => [new Request(url, { method: 'POST', body: new Blob(['A'.repeat(size)]) })]],
    ['a Request of bytes', (url, size) => [new Request(url, { method: 'POST', body: Buffer.alloc(size, 65) })]],
    ['a Request of a form', (url, size) => [new Request(url, { method: 'POST', body: form(size) })]],
    [
      'a Request of bytes, with headers in an init',
      (url, size) => [new Request(url, { method: 'POST', body: Buffer.alloc(size, 65) }), { headers: { 'x-a': '1' } }],
    ],
    ['a clone of a Request', (url, size) => [new Request(url, { method: 'POST', body: 'A'.repeat(size) }).clone()]],
  ])('goes on with the next, from nothing to 12 MiB, where it is %s', async (_, argsOf) => {
    const server = await tired()
    for (const size of [1, MIB - 1, MIB + 1, 12 * MIB]) {
      const fetch = wrapFetch(globalThis.fetch, options(server.url))
      const response = await fetch(...argsOf(server.url, size))
      expect(response.status).toBe(200)
      const [length] = (await response.text()).split(' ')
      expect(Number(length)).toBeGreaterThanOrEqual(size)
    }
  })

  it('is the caller’s answer where it is a stream, or more than `replay.maxBytes`', async () => {
    const server = await tired()
    const stream = () => [server.url, { method: 'POST', body: new Blob(['x']).stream(), duplex: 'half' }] as const
    const request = (size: number) => [new Request(server.url, { method: 'POST', body: 'A'.repeat(size) })] as const
    const send = async (args: readonly unknown[], replay?: { maxBytes: number }) => {
      const fetch = wrapFetch(globalThis.fetch, { ...options(server.url), replay })
      return (await fetch(...(args as Parameters<typeof globalThis.fetch>))).status
    }
    expect(await send(stream())).toBe(429)
    expect(await send(request(17 * MIB))).toBe(429)
    expect(await send(request(101), { maxBytes: 100 })).toBe(429)
    expect(await send(request(100), { maxBytes: 100 })).toBe(200)
    expect(await send(request(1), { maxBytes: 0 })).toBe(429)
    expect(await send([server.url, { method: 'POST', body: 'A'.repeat(101) }], { maxBytes: 100 })).toBe(200)
  })

  it('is sent again although the refusal came before its body had been read', async () => {
    const server = await loopback(({ key }) => ({
      status: key === 'tired' ? 429 : 200,
      headers: { 'retry-after': '60' },
    }))
    const early = async (input: RequestInfo | URL, init?: RequestInit) => {
      if (new Headers(init?.headers).get('authorization') === 'Bearer tired') {
        return new Response('', { status: 429, headers: { 'retry-after': '60' } })
      }
      return globalThis.fetch(input, init)
    }
    const fetch = wrapFetch(early, options(server.url))
    const response = await fetch(new Request(server.url, { method: 'POST', body: new Blob(['A'.repeat(3 * MIB)]) }))
    expect(response.status).toBe(200)
    expect(server.received[0]!.body.length).toBe(3 * MIB)
  })
})

describe('a Request that the program drops while its call waits', () => {
  it('still ends with its signal', async () => {
    const { default: v8 } = await import('node:v8')
    const { default: vm } = await import('node:vm')
    v8.setFlagsFromString('--expose-gc')
    const collect = vm.runInNewContext('gc') as () => void
    const base = async () => new Response('')
    const limits = { requests: 1, per: '1h' } as const
    const fetch = wrapFetch(base, { origins: 'http://a.test', keys: ['a'], cache: false, limits, maxWait: '2h' })
    await fetch('http://a.test/')
    const controller = new AbortController()
    const waiting = (() => fetch(new Request('http://a.test/', { signal: controller.signal })))().catch(error => error)
    for (let round = 0; round < 3; round++) {
      await new Promise(resolve => setTimeout(resolve, 10))
      collect()
    }
    controller.abort()
    expect(await waiting).toMatchObject({ name: 'AbortError' })
  })
})
