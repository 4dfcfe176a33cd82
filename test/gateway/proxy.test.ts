import { once } from 'node:events'
import { get, request } from 'node:http'
import { connect } from 'node:net'
import { gunzipSync, gzipSync } from 'node:zlib'
import { hashToken } from 'fetch-keypool/gateway'
import { describe, expect, it } from 'vitest'
import { createUpstream } from '../../src/gateway/proxy/upstream.js'
import { gateway } from '../helpers/gateway.js'
import { loopback } from '../helpers/loopback.js'

const keys = ['upstream-key-a', 'upstream-key-b']

describe('the gateway', () => {
  it('sends a request on with a key of the pool, and its answer back', async () => {
    const server = await loopback(() => ({
      status: 201,
      headers: { 'x-answer': 'yes', 'set-cookie': ['a=1', 'b=2'] },
      body: 'made',
    }))
    const { url } = await gateway({ routes: { '/api': { upstream: `${server.url}/base`, keys } } })
    const answer = await fetch(`${url}/api/v1/things?q=a%20b&q=c`, {
      method: 'POST',
      headers: { authorization: 'Bearer of-the-caller', 'x-own': 'kept', cookie: 'secret=1' },
      body: '{"a":1}',
    })
    expect([answer.status, await answer.text()]).toEqual([201, 'made'])
    expect(answer.headers.get('x-answer')).toBe('yes')
    // A session that was made with a key of the pool.
    expect(answer.headers.getSetCookie()).toEqual([])
    const [received] = server.received
    expect(received).toMatchObject({ method: 'POST', url: '/base/v1/things?q=a%20b&q=c', body: '{"a":1}' })
    expect(received!.headers).toMatchObject({
      authorization: 'Bearer upstream-key-a',
      'x-own': 'kept',
      'content-length': '7',
    })
    expect(received!.headers.cookie).toBeUndefined()
  })

  it.each([
    ['authorization', 'Bearer token-of-caller'],
    ['x-api-key', 'token-of-caller'],
    ['api-key', 'token-of-caller'],
    ['x-goog-api-key', 'token-of-caller'],
    ['x-keypool-token', 'token-of-caller'],
    ['proxy-authorization', 'Bearer token-of-caller'],
  ])('never sends on what a caller has shown in %s', async (name, value) => {
    const server = await loopback(() => ({ body: 'x' }))
    const { url } = await gateway({
      routes: { '/api': { upstream: server.url, keys, auth: { header: 'x-pool-key' } } },
    })
    await fetch(`${url}/api/x?key=token-of-caller&other=1`, { headers: { [name]: value } })
    expect(JSON.stringify(server.received)).not.toContain('token-of-caller')
    expect(server.received[0]!.url).toBe(name === 'proxy-authorization' ? '/x?other=1' : '/x?other=1')
  })

  it('goes on with the next key where one is refused, with the whole body again', async () => {
    const server = await loopback(({ key }) =>
      key === keys[0] ? { status: 429, headers: { 'retry-after': '60' } } : { body: 'served' },
    )
    const { url } = await gateway({ routes: { '/api': { upstream: server.url, keys } } })
    const body = JSON.stringify({ text: 'x'.repeat(300_000) })
    const answer = await fetch(`${url}/api/x`, { method: 'POST', body })
    expect([answer.status, await answer.text()]).toEqual([200, 'served'])
    expect(server.keys()).toEqual([keys[0], keys[1]])
    expect(server.received.map(each => each.body.length)).toEqual([body.length, body.length])
  })

  it('lets streams through piece by piece, both ways', async () => {
    let go = () => {}
    const gone = new Promise<void>(resolve => {
      go = resolve
    })
    const server = await loopback(() => async response => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: one\n\n')
      await gone
      response.end('data: two\n\n')
    })
    const { url } = await gateway({ routes: { '/api': { upstream: server.url, keys } } })
    const answer = await fetch(`${url}/api/events`)
    expect(answer.headers.get('content-type')).toBe('text/event-stream')
    const reader = answer.body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('data: one\n\n')
    go()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('data: two\n\n')

    const chunks = ['a'.repeat(10), 'b'.repeat(70_000), 'c'.repeat(2_000_000)]
    const up = new ReadableStream({
      async start(controller) {
        for (const chunk of chunks) controller.enqueue(new TextEncoder().encode(chunk))
        controller.close()
      },
    })
    const sent = fetch(`${url}/api/up`, { method: 'POST', body: up, duplex: 'half' } as RequestInit)
    const reply = await sent
    go()
    await reply.text()
    expect(server.received[1]!.body === chunks.join('')).toBe(true)
  })

  it('lets packed media be as they are, and reads refusals that are packed', async () => {
    const refusal = gzipSync('{"error":{"code":"insufficient_quota"}}')
    const server = await loopback(({ key }) => {
      if (key === keys[0])
        return {
          status: 429,
          headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' },
          body: refusal,
        }
      return { headers: { 'content-encoding': 'gzip', 'content-type': 'image/png' }, body: gzipSync('packed') }
    })
    const made = await gateway({ routes: { '/api': { upstream: server.url, keys, cache: false } } })
    const { port } = new URL(made.url)
    const socket = connect(Number(port), '127.0.0.1')
    socket.write('GET /api/x HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n')
    const parts: Buffer[] = []
    socket.on('data', chunk => parts.push(chunk))
    await once(socket, 'close')
    const whole = Buffer.concat(parts)
    const at = whole.indexOf('\r\n\r\n') + 4
    expect(whole.subarray(0, at).toString().toLowerCase()).toContain('content-encoding: gzip')
    expect(gunzipSync(dechunk(whole.subarray(at))).toString()).toBe('packed')
    expect(made.pool('/api').pool.keys()[0]!.cause).toBe('quota')
  })

  it('puts keys into queries and paths, and gives none of them back', async () => {
    const server = await loopback(({ url }) => ({
      status: url.includes('move') ? 302 : 200,
      headers: { location: url.replace('move', 'moved'), link: `<${url}&page=2>; rel="next"`, 'content-location': url },
    }))
    const { url } = await gateway({
      routes: {
        '/query': { upstream: `${server.url}/v1`, keys: 'upstream-key-a', auth: { query: 'key' } },
        '/path': { upstream: server.url, keys: 'upstream-key-a', auth: { path: '/v2/{key}' } },
        '/odd': { upstream: server.url, keys: 'upstream-key-a', auth: { query: 'api[key]' } },
      },
    })
    const answers = [
      await fetch(`${url}/query/x?a=1`, { redirect: 'manual' }),
      await fetch(`${url}/query/move?a=1`, { redirect: 'manual' }),
      await fetch(`${url}/path/v2/KEY/move?a=1`, { redirect: 'manual' }),
      await fetch(`${url}/odd/move?a=1`, { redirect: 'manual' }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 302, 302, 302])
    expect(server.received[0]!.url).toContain('upstream-key-a')
    expect(answers[1]!.headers.get('location')).toBe('/query/moved?a=1')
    for (const answer of answers) expect(JSON.stringify([...answer.headers])).not.toContain('upstream-key-a')
  })

  it('leaves redirects to its callers, here and elsewhere', async () => {
    const elsewhere = await loopback(() => ({ body: 'elsewhere' }))
    const server = await loopback(() => ({ status: 302, headers: { location: `${elsewhere.url}/x` } }))
    const { url } = await gateway({ routes: { '/api': { upstream: server.url, keys } } })
    const answer = await fetch(`${url}/api/x`, { redirect: 'manual' })
    expect([answer.status, answer.headers.get('location')]).toEqual([302, `${elsewhere.url}/x`])
    expect(elsewhere.received).toEqual([])
  })

  it('frees what requests held that stood in line on a connection that goes', async () => {
    const server = await loopback(({ url }) => ({ delay: 200, body: url === '/b' ? 'x'.repeat(3_000_000) : 'x' }))
    const made = await gateway({
      routes: { '/api': { upstream: server.url, keys: 'k', cache: false, limits: { concurrency: 2 }, maxWait: 5_000 } },
    })
    for (let count = 0; count < 4; count++) {
      const socket = connect(Number(new URL(made.url).port), '127.0.0.1')
      socket.on('error', () => {})
      socket.write('GET /api/a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /api/b HTTP/1.1\r\nHost: localhost\r\n\r\n')
      await new Promise(resolve => setTimeout(resolve, 100))
      socket.destroy()
    }
    expect((await fetch(`${made.url}/api/a`)).status).toBe(200)
    expect(made.pool('/api').pool.stats().inFlight).toBe(0)
  })

  it('lets fields through that are UTF-8, and refuses a body where there is none', async () => {
    const server = await loopback(() => response => {
      response.socket!.end('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX-Name: \u65e5\u672c.txt\r\n\r\nx')
    })
    const { url } = await gateway({ routes: { '/api': { upstream: server.url, keys } } })
    const answer = await fetch(`${url}/api/x`)
    expect(Buffer.from(answer.headers.get('x-name')!, 'latin1').toString()).toBe('\u65e5\u672c.txt')
    const status = await new Promise<number>((resolve, reject) => {
      const sent = request(`${url}/api/x`, { method: 'GET' }, reply => resolve(reply.resume().statusCode!))
      sent.on('error', reject)
      sent.setHeader('content-length', 5)
      sent.end('hello')
    })
    expect(status).toBe(400)
  })

  it('never sends on a token that stands elsewhere, nor another method', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const { url } = await gateway({ routes: { '/api': { upstream: server.url, keys } } })
    await fetch(`${url}/api/x?key=token-of-caller%3D%3D&other=1`, {
      headers: { 'x-copy': 'of token-of-caller==', 'x-http-method-override': 'DELETE', x_original_url: '/admin' },
    })
    expect(server.received[0]!.url).toBe('/x?other=1')
    expect(JSON.stringify(server.received[0]!.headers)).not.toMatch(/token-of-caller|override|original/)
  })

  it('shows no caller what another was answered, unless the route says that it may', async () => {
    const server = await loopback((_, count) => ({
      headers: { 'cache-control': 'private, max-age=60' },
      body: `${count}`,
    }))
    const tokens = ['one', 'two'].map(id => ({ id, hash: hashToken(`token-${id}`) }))
    const { url } = await gateway({
      policies: [{ name: 'callers', authentication: { tokens } }],
      routes: { '/own': { upstream: server.url, keys }, '/shared': { upstream: server.url, keys, cache: true } },
    })
    const ask = async (path: string, id: string) =>
      (await fetch(`${url}${path}`, { headers: { authorization: `Bearer token-${id}` } })).text()
    expect([await ask('/own/x', 'one'), await ask('/own/x', 'two')]).toEqual(['1', '2'])
    expect([await ask('/shared/y', 'one'), await ask('/shared/y', 'two')]).toEqual(['3', '3'])
  })

  it('asks for a body that is offered only when it is wanted', async () => {
    const server = await loopback(({ body }) => ({ body }))
    const { url } = await gateway({
      routes: {
        '/api': { upstream: server.url, keys },
        '/small': { upstream: server.url, keys: 'k', policies: [{ name: 'size', maxBody: 3 }] },
      },
    })
    const offer = async (path: string) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1')
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n`,
      )
      let got = ''
      socket.on('data', chunk => {
        got += chunk
        if (/^HTTP\/1.1 100 /.test(got) && !got.includes('200')) socket.write('hello')
      })
      await once(socket, 'close')
      return got
    }
    expect(await offer('/api/x')).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK[\s\S]*hello/)
    expect(await offer('/small/x')).toMatch(/^HTTP\/1.1 413 /)
  })

  it('answers HEAD, 204 and 304 without a body, and errors of the service as they are', async () => {
    const server = await loopback(({ url }) => ({
      status: Number(url.slice(1)),
      headers: { 'x-a': '1' },
      body: /204|304/.test(url) ? '' : 'body',
    }))
    const { url } = await gateway({ routes: { '/api': { upstream: server.url, keys, retry: false } } })
    for (const status of [200, 204, 304, 400, 404, 418, 500]) {
      const answer = await fetch(`${url}/api/${status}`)
      expect([answer.status, await answer.text()]).toEqual([status, /204|304/.test(String(status)) ? '' : 'body'])
    }
    const head = await fetch(`${url}/api/200`, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
  })

  it('stops the request at the service when its caller goes', async () => {
    let closed = () => {}
    const isClosed = new Promise<void>(resolve => {
      closed = resolve
    })
    const server = await loopback(() => response => {
      response.on('close', closed)
    })
    const { url } = await gateway({ routes: { '/api': { upstream: server.url, keys } } })
    const controller = new AbortController()
    const answer = fetch(`${url}/api/slow`, { signal: controller.signal })
    while (server.received.length === 0) await new Promise(resolve => setTimeout(resolve, 5))
    controller.abort()
    await expect(answer).rejects.toThrow()
    await isClosed
  })

  it('has pools side by side, the longest path first', async () => {
    const [one, other] = [await loopback(() => ({ body: 'one' })), await loopback(() => ({ body: 'other' }))]
    const { url } = await gateway({
      routes: { '/a': { upstream: one.url, keys: 'k1' }, '/a/b': { upstream: other.url, keys: 'k2' } },
    })
    expect(await (await fetch(`${url}/a/x`)).text()).toBe('one')
    expect(await (await fetch(`${url}/a/b/x`)).text()).toBe('other')
    expect(await (await fetch(`${url}/a/bx`)).text()).toBe('one')
    expect([one.keys(), other.keys()]).toEqual([['k1', 'k1'], ['k2']])
    const missing = await fetch(`${url}/ab`)
    expect([missing.status, missing.headers.get('content-type')]).toEqual([404, 'application/problem+json'])
  })

  it('tells what it can of a service that is not there', async () => {
    const { url } = await gateway({ routes: { '/api': { upstream: 'http://127.0.0.1:1', keys, retry: false } } })
    const answer = await fetch(`${url}/api/x`)
    expect(answer.status).toBe(502)
    expect(await answer.json()).toMatchObject({
      title: 'The service could not be reached',
      detail: 'ECONNREFUSED',
      status: 502,
    })
  })

  it('says 429 where all keys are out, as SDKs understand it', async () => {
    const server = await loopback(() => ({ status: 429, headers: { 'retry-after': '60' }, body: 'no' }))
    const { url } = await gateway({ routes: { '/api': { upstream: server.url, keys, maxWait: 50 } } })
    const answer = await fetch(`${url}/api/x`)
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '60'])
  })
})

describe('without authentication', () => {
  it.each([
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ origin: 'https://evil.example' }, 403],
    [{ host: 'rebound.example' }, 403],
    [{ 'sec-fetch-site': 'same-origin' }, 200],
    [{}, 200],
  ])('pages of others in a browser on this machine are not served, nor shown anything: %j', async (headers, status) => {
    const server = await loopback(() => ({ body: 'x' }))
    const { url } = await gateway({ routes: { '/api': { upstream: server.url, keys } } })
    const ask = (path: string) =>
      new Promise<number>((resolve, reject) => {
        get(`${url}${path}`, { headers: headers as Record<string, string> }, answer =>
          resolve(answer.resume().statusCode!),
        ).on('error', reject)
      })
    expect(await ask('/api/x')).toBe(status)
    expect(await ask('/__keypool/api/overview')).toBe(status === 200 ? 200 : 401)
    expect(server.received).toHaveLength(status === 200 ? 1 : 0)
  })
})

describe('addresses behind the gateway', () => {
  it.each([
    'http://127.0.0.1:9',
    'http://localhost:9',
    'http://[::1]:9',
    'http://169.254.169.254',
    'http://10.0.0.1',
    'http://[::ffff:10.0.0.1]',
  ])('that are not public, as %s, are refused at the start unless they are allowed', async upstream => {
    const made = gateway({ allowPrivateUpstreams: false, routes: { '/api': { upstream, keys, retry: false } } })
    await expect(made).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'routes./api.upstream' })
    await expect(
      gateway({ allowPrivateUpstreams: true, routes: { '/api': { upstream, keys, retry: false } } }),
    ).resolves.toBeDefined()
  })

  it('that a name leads to are not connected to either, whatever it led to before', async () => {
    const addresses = ['93.184.215.14', '127.0.0.1', '169.254.169.254', '::1', 'fd00::1', '::ffff:10.0.0.1']
    for (const address of addresses.slice(1)) {
      const upstream = createUpstream({
        ...{ allowPrivate: false, silence: 1_000 },
        lookup: ((_: string, __: object, done: (error: null, all: object[]) => void) =>
          done(null, [{ address, family: address.includes(':') ? 6 : 4 }])) as never,
      })
      const failed = await upstream.fetch('http://service.example/x').catch((error: Error) => error)
      expect((failed as Error).cause).toMatchObject({ code: 'ERR_ADDRESS_NOT_ALLOWED' })
      await upstream.close()
    }
  })

  it.each(['/api/../../secret', '/api/%2e%2e/secret', '/api/..%2f..', '/api//evil.example/x', '/api/@evil.example'])(
    'are those of the route, whatever the path says: %s',
    async path => {
      const server = await loopback(() => ({ body: 'x' }))
      const { url } = await gateway({ routes: { '/api': { upstream: `${server.url}/base`, keys } } })
      const { port } = new URL(url)
      const socket = connect(Number(port), '127.0.0.1')
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
      socket.resume()
      await once(socket, 'close')
      expect(server.received.every(({ url: to }) => to.startsWith('/base'))).toBe(true)
    },
  )
})

/** A body without the frame of chunks, where it has one. */
function dechunk(body: Buffer): Buffer {
  const parts: Buffer[] = []
  let rest = body
  for (;;) {
    const end = rest.indexOf('\r\n')
    const size = end < 0 ? Number.NaN : Number.parseInt(rest.subarray(0, end).toString(), 16)
    if (Number.isNaN(size)) return body
    if (size === 0) return Buffer.concat(parts)
    parts.push(rest.subarray(end + 2, end + 2 + size))
    rest = rest.subarray(end + 2 + size + 2)
  }
}
