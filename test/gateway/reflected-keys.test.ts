import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { wrapFetch } from 'fetch-keypool'
import { afterEach, describe, expect, it } from 'vitest'
import { maskBytes, maskStream } from '../../src/redact-bytes.js'
import { Secret } from '../../src/secret.js'
import { gateway } from '../helpers/gateway.js'
import { loopback } from '../helpers/loopback.js'

const KEY = 'key-SECRET-ABCdef123456/+x'
const encoded = encodeURIComponent(KEY)
const base64 = (text: string) => Buffer.from(text).toString('base64')
/** What of base64 is the key's own, whatever stands around it. */
const core = (text: string) => base64(text).slice(6, -8)
const FORMS = [
  ...[
    KEY,
    encoded,
    encoded.toLowerCase(),
    encodeURIComponent(encoded),
    KEY.replaceAll('/', '\\/'),
    KEY.replace('/', '&#x2F;'),
  ],
  ...[
    KEY.replace('+', '\\u002B'),
    KEY.replaceAll('/', '\\u002f'),
    KEY.replace('+', '&#43;'),
    encoded.replaceAll('%2F', '/'),
  ],
  Buffer.from(KEY).toString('hex'),
  ...[core(`a${KEY}`), core(`ab${KEY}`), core(`abc${KEY}`), core(`${KEY}:`)],
]
const shows = (text: string) => FORMS.filter(form => text.includes(form))

const servers: { close(): void }[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

describe('a service that gives back what it was sent', () => {
  it.each([
    ['bearer', 'bearer'],
    ['query', { query: 'key' }],
    ['header', { header: 'x-weather-key' }],
  ] as const)('shows no caller the key, put in by %s', async (_, auth) => {
    const bodies: Record<string, (seen: string) => object> = {
      json: seen => ({
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ seen, url: KEY.replaceAll('/', '\\/') }),
      }),
      error: seen => ({ status: 404, body: `nothing for ${KEY} at ${seen}` }),
      html: () => ({
        headers: { 'content-type': 'text/html' },
        body: `<a href="${encoded}">${KEY.replace('/', '&#x2F;')}</a>`,
      }),
      escaped: () => ({ body: FORMS.slice(0, -4).join(' ') }),
      picture: () => ({ headers: { 'content-type': 'image/png' }, body: KEY.repeat(5_000) }),
      packed: seen => ({
        headers: { 'content-type': 'text/plain', 'content-encoding': 'gzip' },
        body: gzipSync(seen + KEY),
      }),
      unnamed: seen => ({ headers: { 'content-type': undefined }, body: seen + KEY }),
      fields: seen => ({
        headers: {
          'x-request': Buffer.from(seen).toString('base64url'),
          'x-echo': KEY,
          link: `</p?KEY=${encoded}>; rel=next`,
          etag: `"${encoded}"`,
          'x-basic': base64(`${KEY}:`),
        },
        body: 'ok',
      }),
      ...Object.fromEntries(
        [
          '/next?k%65y=KEY',
          '/next?a=1;key=KEY',
          '/p/KEY',
          'https://KEY:x@other.example/',
          'https://other.example/?token=KEY',
          'https://other.example/#key=KEY',
        ].map((to, index) => [
          `to${index}`,
          () => ({ status: 302, headers: { location: to.replaceAll('KEY', encoded) }, body: '' }),
        ]),
      ),
    }
    const server = await loopback(({ url, headers }) =>
      bodies[/(\w+)(?:\?|$)/.exec(url)![1]!]!(`${url} ${JSON.stringify(headers)}`),
    )
    const { url } = await gateway({ routes: { '/u': { upstream: server.url, keys: [KEY], auth, cache: false } } })
    for (const name of Object.keys(bodies)) {
      const answer = await fetch(`${url}/u/${name}`, { redirect: 'manual' })
      const all = `${await answer.text()} ${JSON.stringify([...answer.headers])}`
      expect([name, shows(all)]).toEqual([name, []])
    }
    expect(JSON.stringify(server.received.map(each => [each.url, each.headers]))).toMatch(/SECRET|U0VDUkVU|key-SECRET/)
  })

  it('shows none in a stream, cut anywhere, and holds back no event', async () => {
    const text = `data: before\n\ndata: ${KEY} and ${encoded}\n\ndata: after\n\n`
    const server = createServer(async (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const character of text) {
        response.write(character)
        await new Promise(resolve => setImmediate(resolve))
      }
      response.write('data: last\n\n')
      // It does not end till the last event was seen.
      response.on('close', () => {})
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    servers.push({ close: () => server.closeAllConnections() }, server)
    const upstream = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { url } = await gateway({ routes: { '/u': { upstream, keys: [KEY], cache: false } } })
    const reader = (await fetch(`${url}/u/x`)).body!.pipeThrough(new TextDecoderStream()).getReader()
    let got = ''
    while (!got.includes('last')) got += (await reader.read()).value ?? ''
    await reader.cancel()
    expect(shows(got)).toEqual([])
    expect(got).toContain('data: before\n\n')
    expect(got).toContain('data: after\n\n')
  })

  it('leaves none in the cache', async () => {
    const kept = new Map<string, unknown>()
    const store = {
      get: (name: string) => kept.get(name) as never,
      set: (name: string, value: unknown) => void kept.set(name, value),
      delete: (name: string) => void kept.delete(name),
    }
    const server = await loopback(() => ({
      headers: { 'cache-control': 'max-age=60', 'x-echo': KEY },
      body: `you are ${KEY}`,
    }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: [KEY], cache: { store } })
    expect(await (await fetch(`${server.url}/x`)).text()).toBe(`you are ${KEY}`)
    const text = [...kept.values()]
      .map(value =>
        JSON.stringify(value, (_, each) => (each instanceof Uint8Array ? Buffer.from(each).toString() : each)),
      )
      .join()
    expect(text).toContain('you are ****')
    expect(shows(text)).toEqual([])
  })
})

describe('keys in responses of a pooled fetch', () => {
  it('are hidden with hideKeys, and lengths stay true', async () => {
    const body = JSON.stringify({ said: KEY })
    const server = await loopback(() => ({ headers: { 'content-length': String(body.length), 'x-echo': KEY }, body }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: [KEY], hideKeys: true })
    const answer = await fetch(`${server.url}/x`)
    expect(answer.headers.get('x-echo')).toBe('*'.repeat(KEY.length))
    expect(answer.url).toBe(`${server.url}/x`)
    expect(await answer.text()).toBe(body.replace(KEY, '*'.repeat(KEY.length)))
  })

  it('are found wherever the pieces of a body begin, and nothing else is changed', async () => {
    const secret = new Secret(KEY)
    const bits = fc.constantFrom(
      KEY,
      encoded,
      KEY.slice(0, 9),
      KEY.slice(0, -1),
      'key-',
      'k',
      '\u00e9',
      'x'.repeat(50),
      base64(`a${KEY}b`),
      '\n',
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(bits, { maxLength: 12 }),
        fc.array(fc.nat(40), { minLength: 1, maxLength: 8 }),
        async (parts, sizes) => {
          const whole = new TextEncoder().encode(parts.join(''))
          const pieces: Uint8Array[] = []
          for (let at = 0, index = 0; at < whole.length; index++) {
            const size = sizes[index % sizes.length]! + 1
            pieces.push(whole.slice(at, at + size))
            at += size
          }
          const stream =
            new Blob(pieces as BlobPart[]).size === 0
              ? undefined
              : new ReadableStream<Uint8Array>({
                  start: controller => {
                    for (const piece of pieces) controller.enqueue(piece)
                    controller.close()
                  },
                }).pipeThrough(maskStream(secret))
          const got = stream ? new Uint8Array(await new Response(stream as BodyInit).arrayBuffer()) : new Uint8Array()
          expect(Buffer.from(got).toString()).toBe(Buffer.from(maskBytes(whole, secret)).toString())
          expect(got.length).toBe(whole.length)
        },
      ),
      { numRuns: 300 },
    )
  })
})
