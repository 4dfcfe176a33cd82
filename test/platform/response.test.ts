import v8 from 'node:v8'
import vm from 'node:vm'
import { wrapFetch } from 'fetch-keypool'
import { describe, expect, it, vi } from 'vitest'
import { lazyBodyOf, responseOf } from '../../src/http/lazy-response.js'
import { loopback } from '../helpers/loopback.js'

const ORIGIN = 'http://api.test'
const TEXT = 'hello wörld'
const BYTES = new TextEncoder().encode(TEXT)

type Setting = [name: string, options: object, init: ResponseInit, calls: number]

/** Every way in which a response of the pool is one that was made here. */
const SETTINGS: Setting[] = [
  ['that is passed on', { cache: false }, {}, 1],
  ['that holds a concurrency permit', { cache: false, limits: { concurrency: 1 } }, {}, 1],
  ['whose tokens are counted', { cache: false, limits: { tokens: 1000, per: '1m' } }, {}, 1],
  ['that is stored on its way', { cache: { ttl: '1m' } }, {}, 1],
  ['out of the cache', { cache: { ttl: '1m' } }, {}, 2],
  ['with an error that was looked into', { cache: false }, { status: 400 }, 1],
  ['that refused the last key', { cache: false, onExhausted: 'respond', maxWait: 0 }, { status: 429 }, 1],
]

async function responseBy([, options, { status = 200 }, calls]: Setting): Promise<Response> {
  const base = async () =>
    new Response(BYTES, { status, statusText: 'As Sent', headers: { 'x-note': '1', 'content-type': 'text/plain' } })
  const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['key-one'], ...options })
  for (let call = 1; call < calls; call++) await (await fetch(`${ORIGIN}/`)).text()
  return fetch(`${ORIGIN}/`)
}

/** What the platform itself holds, whatever the response's own properties say. */
const inside = <Name extends 'body' | 'headers' | 'status' | 'bodyUsed' | 'statusText'>(
  name: Name,
  response: Response,
) => Object.getOwnPropertyDescriptor(Response.prototype, name)!.get!.call(response) as Response[Name]

describe.each(SETTINGS)('a response %s', (...setting) => {
  const get = () => responseBy(setting)

  it('holds inside what its properties say', async () => {
    const response = await get()
    expect(response).toBeInstanceOf(Response)
    expect(response.constructor).toBe(Response)
    expect(inside('body', response)).toBe(response.body)
    expect(inside('status', response)).toBe(response.status)
    expect(inside('statusText', response)).toBe(response.statusText)
    expect(inside('headers', response).get('x-note')).toBe('1')
    expect([...inside('headers', response)]).toEqual([...response.headers])
  })

  it('is read by whoever takes the platform’s own methods', async () => {
    const response = await get()
    expect(await Response.prototype.text.call(response)).toBe(TEXT)
    expect(response.bodyUsed).toBe(true)
    await expect(response.text()).rejects.toBeInstanceOf(TypeError)
  })

  it.each<[string, (response: Response) => Promise<unknown>]>([
    ['text()', response => response.text()],
    ['arrayBuffer()', async response => new TextDecoder().decode(await response.arrayBuffer())],
    ['blob()', async response => (await response.blob()).text()],
    ['its stream', async response => new Response(response.body).text()],
    ['a clone', response => response.clone().text()],
    ['a clone of a clone', response => response.clone().clone().text()],
    ['a new Response of it', response => new Response(response.body, response).text()],
    ['a transform', response => new Response(response.body!.pipeThrough(new TransformStream())).text()],
    ['one branch of a tee', response => new Response(response.body!.tee()[0]).text()],
  ])('is read by %s', async (_, read) => {
    expect(await read(await get())).toBe(TEXT)
  })

  it('is read into a buffer of one’s own', async () => {
    const { body } = await get()
    const reader = body!.getReader({ mode: 'byob' })
    let text = ''
    const decoder = new TextDecoder()
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(4))
      if (done) break
      text += decoder.decode(value, { stream: true })
    }
    expect(text).toBe(TEXT)
  })

  it('counts as used once it is read, locked or cancelled, for everybody', async () => {
    const read = await get()
    await read.text()
    expect([read.bodyUsed, inside('bodyUsed', read)]).toEqual([true, true])
    expect(() => read.clone()).toThrow(TypeError)
    await expect(read.arrayBuffer()).rejects.toBeInstanceOf(TypeError)
    const locked = await get()
    locked.body!.getReader()
    await expect(locked.text()).rejects.toBeInstanceOf(TypeError)
    const cancelled = await get()
    await cancelled.body!.cancel()
    expect(cancelled.bodyUsed).toBe(true)
    expect(read.body!.locked).toBe(true)
    await expect(cancelled.json()).rejects.toBeInstanceOf(TypeError)
  })

  it('is of the type that a live one is', async () => {
    expect((await get()).type).toBe(new Response().type)
    expect((await get()).clone().type).toBe(new Response().type)
  })

  it('can be read on after its clone was, and the other way round', async () => {
    const response = await get()
    const clone = response.clone()
    expect(await clone.text()).toBe(TEXT)
    expect(await response.text()).toBe(TEXT)
  })
})

describe('the memory of others', () => {
  const shared = () => {
    const whole = new Uint8Array(64).fill(120)
    whole.set(BYTES, 8)
    return { whole, chunk: whole.subarray(8, 8 + BYTES.length) }
  }

  it.each(SETTINGS)('is whole after a response %s was read from it', async (_, options, { status = 200 }) => {
    const { whole, chunk } = shared()
    const pooled = Buffer.from('{"error":"x"}')
    for (const part of [chunk, pooled]) {
      const base = async () =>
        new Response(
          new ReadableStream({
            start(controller) {
              controller.enqueue(part)
              controller.enqueue(part)
              controller.close()
            },
          }),
          { status },
        )
      const expected = Buffer.concat([part, part]).toString()
      for (const read of ['text', 'stream'] as const) {
        const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['key-one'], ...options })
        const response = await fetch(`${ORIGIN}/${read}`)
        expect(read === 'text' ? await response.text() : await new Response(response.body).text()).toBe(expected)
      }
    }
    expect(whole.byteLength).toBe(64)
    expect(Buffer.from('anything at all').toString()).toBe('anything at all')
  })

  it('is not given away with what a store gives back, whatever bytes those are', async () => {
    const neighbours = new Uint8Array(4096).fill(7)
    for (const bytesOf of [
      (body: Uint8Array) => Buffer.from(body),
      (body: Uint8Array) => {
        neighbours.set(body, 100)
        return neighbours.subarray(100, 100 + body.byteLength)
      },
      (body: Uint8Array) => new Uint8ClampedArray(body),
    ]) {
      const records = new Map<string, never>()
      const store = {
        get: (key: string) => records.get(key),
        set(key: string, record: readonly { body: Uint8Array | null }[]) {
          records.set(key, record.map(entry => ({ ...entry, body: entry.body && bytesOf(entry.body) })) as never)
        },
        delete: (key: string) => void records.delete(key),
      }
      const base = async () => new Response(BYTES, { headers: { 'cache-control': 'max-age=60' } })
      const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['key-one'], cache: { store: store as never } })
      await (await fetch(ORIGIN)).text()
      for (const read of [
        async (response: Response) => response.arrayBuffer(),
        async (response: Response) => (await response.blob()).arrayBuffer(),
        async (response: Response) => new Response(response.body).arrayBuffer(),
      ]) {
        const buffer = await read(await fetch(ORIGIN))
        expect(new Uint8Array(buffer)).toEqual(BYTES)
      }
      expect(await (await fetch(ORIGIN)).text()).toBe(TEXT)
    }
  })

  it('is not what a hit gives out: what one caller does to it, another does not see', async () => {
    const base = async () => new Response(BYTES, { headers: { 'cache-control': 'max-age=60' } })
    const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['key-one'] })
    await (await fetch(ORIGIN)).text()
    new Uint8Array(await (await fetch(ORIGIN)).arrayBuffer()).fill(0)
    const { value } = await (await fetch(ORIGIN)).body!.getReader().read()
    value!.fill(0)
    expect(await (await fetch(ORIGIN)).text()).toBe(TEXT)
  })
})

describe('a body that is watched', () => {
  it('lets the next request go when it is small and nobody reads it', async () => {
    const server = await loopback(() => ({ body: 'small' }))
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: { concurrency: 1 },
      cache: false,
    })
    const unread = await fetch(server.url)
    expect(await (await fetch(server.url)).text()).toBe('small')
    expect(await unread.text()).toBe('small')
  })

  it('fails for its reader where it failed, and lets the next request go', async () => {
    const server = await loopback((_, count) =>
      count > 1
        ? { body: 'fine' }
        : response => {
            response.writeHead(200, { 'content-length': '100' })
            response.write('the beginning')
            setTimeout(() => response.destroy(), 30)
          },
    )
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      limits: { concurrency: 1 },
      cache: false,
    })
    const reader = (await fetch(server.url)).body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('the beginning')
    await expect(reader.read()).rejects.toBeInstanceOf(TypeError)
    expect(await (await fetch(server.url)).text()).toBe('fine')
  })

  it('ends with the reason of an abort, read as a whole or as a stream, also where the source knows no signal', async () => {
    const silent = async () => new Response(new ReadableStream({ pull: () => new Promise(() => {}) }))
    const options = { origins: ORIGIN, keys: ['a'], limits: { concurrency: 1 }, cache: false as const }
    for (const read of [
      (response: Response) => response.text(),
      (response: Response) => response.body!.getReader().read(),
    ]) {
      const fetch = wrapFetch(silent, options)
      const controller = new AbortController()
      const reading = read(await fetch(ORIGIN, { signal: controller.signal }))
      const reason = new Error('enough')
      setTimeout(() => controller.abort(reason), 10)
      await expect(reading).rejects.toBe(reason)
      await vi.waitFor(() => expect(fetch.pool.keys()[0]!.inFlight).toBe(0))
    }
  })
})

describe('a response that the program drops', () => {
  v8.setFlagsFromString('--expose-gc')
  const collect = vm.runInNewContext('gc') as () => void
  const collected = async () => {
    for (let round = 0; round < 5; round++) {
      await new Promise(resolve => setTimeout(resolve, 10))
      collect()
    }
  }

  it.each<[string, (response: Response) => unknown]>([
    ['unread', () => {}],
    ['after a look at its body', response => response.body],
    ['half read', response => response.body!.getReader().read()],
  ])('gives its permit back once it is collected: %s', async (_, use) => {
    const server = await loopback(() => ({ body: 'x'.repeat(2_000_000) }))
    const options = { limits: { concurrency: 1 }, cache: false as const, maxWait: '10s' as const }
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], ...options })
    for (let call = 0; call < 3; call++) {
      await (async () => use(await fetch(server.url)))()
      await vi.waitFor(async () => {
        await collected()
        expect(fetch.pool.keys()[0]!.inFlight).toBe(0)
      }, 9_000)
    }
  })

  it.each<[string, object]>([
    ['with concurrency', { cache: false, limits: { concurrency: 5 } }],
    ['with a cache of ten entries', { cache: { ttl: '1m', maxEntries: 10 } }],
  ])('leaves nothing behind, %s', async (_, options) => {
    const base = async () => new Response('x'.repeat(50_000))
    const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['a'], ...options })
    const alive: WeakRef<Response>[] = []
    for (let call = 0; call < 200; call++) {
      alive.push(new WeakRef(await fetch(`${ORIGIN}/${call}`)))
      if (call % 20 === 0) await new Promise(resolve => setTimeout(resolve, 1))
    }
    await collected()
    expect(alive.filter(each => each.deref()).length).toBeLessThan(20)
  })
})

describe('a response that was made here', () => {
  const facts = { statusText: 'OK', url: 'http://a.test/', redirected: true, type: 'basic' } as const

  it('says where it came from, as do its clones', () => {
    const made = responseOf(BYTES, 200, facts, new Headers({ 'x-a': 'b' }))
    for (const each of [made, made.clone(), made.clone().clone()]) {
      const { url, redirected, type, statusText } = each
      expect({ url, redirected, type, statusText }).toEqual(facts)
      expect(each.headers.get('x-a')).toBe('b')
    }
  })

  it('gives its bytes only for as long as nobody has begun to read them', async () => {
    const made = responseOf(BYTES, 200, facts, new Headers())
    expect(lazyBodyOf(made)?.bytes).toEqual(BYTES)
    const reader = made.body!.getReader()
    expect(lazyBodyOf(made)).toBeUndefined()
    await reader.cancel()
    expect(lazyBodyOf(made)).toBeUndefined()
    expect(lazyBodyOf(new Response('x'))).toBeUndefined()
  })

  it.each([
    ['gzip', null],
    ['br', null],
    ['deflate, gzip', null],
    ['a-coding-of-the-future', 'a-coding-of-the-future'],
  ])('holds inside what is true of a body that the platform has decoded: %s', (coding, expected) => {
    const sent = new Headers({ 'content-encoding': coding, 'content-length': '5', 'x-a': 'b' })
    const made = responseOf(BYTES, 200, facts, sent)
    expect(made.headers.get('content-encoding')).toBe(coding)
    expect(inside('headers', made).get('content-encoding')).toBe(expected)
    expect(inside('headers', made).get('x-a')).toBe('b')
  })

  it('leaves out of the platform’s inside only what its constructor refuses', () => {
    const odd = new Headers({ 'x-a': 'b' })
    const made = responseOf(BYTES, 200, { ...facts, statusText: 'Ünïcode ☃' }, odd)
    expect(made.statusText).toBe('Ünïcode ☃')
    expect(inside('headers', made).get('x-a')).toBe('b')
  })
})
