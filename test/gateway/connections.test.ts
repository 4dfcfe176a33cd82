import { readFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { request as httpsRequest } from 'node:https'
import { type AddressInfo, connect, createServer as createRawServer, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { gateway } from '../helpers/gateway.js'
import { loopback } from '../helpers/loopback.js'

const keys = ['upstream-key-a']
const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

const pem = (name: string, part: 'cert' | 'key') =>
  readFileSync(fileURLToPath(new URL(`../fixtures/tls/${name}.${part}.pem`, import.meta.url)), 'utf8')
const tls = (name: string) => ({ cert: pem(name, 'cert'), key: pem(name, 'key') })

/** One request with HTTP/2. */
function ask(session: ClientHttp2Session, path: string, headers: object = {}, body?: string) {
  return new Promise<{ status: number; headers: Record<string, unknown>; text: string }>((resolve, reject) => {
    const stream = session.request({ ':path': path, ':method': body === undefined ? 'GET' : 'POST', ...headers })
    let answered: Record<string, unknown> = {}
    let text = ''
    stream.on('response', all => {
      answered = all
    })
    stream.setEncoding('utf8')
    stream.on('data', chunk => {
      text += chunk
    })
    stream.on('end', () => resolve({ status: Number(answered[':status']), headers: answered, text }))
    stream.on('error', reject)
    stream.end(body)
  })
}

function http2(url: string, options: object = {}): ClientHttp2Session {
  const session = connectHttp2(url, options)
  session.on('error', () => {})
  closers.push(() => session.destroy())
  return session
}

describe('HTTP/2 from callers', () => {
  it.each([
    ['in the clear', undefined],
    ['over TLS', tls('first')],
  ])('is served %s: bodies both ways, refusals, the operator', async (_, certificate) => {
    const server = await loopback(({ body }) => ({ status: 201, headers: { 'x-answer': 'yes' }, body: `got ${body}` }))
    const { url } = await gateway({
      listen: { port: 0, ...(certificate ? { tls: certificate } : {}) },
      routes: { '/api': { upstream: server.url, keys, cache: false } },
      policies: [{ name: 'size', maxBody: 2_000_000 }],
    })
    const session = http2(url, { rejectUnauthorized: false })
    expect(await ask(session, '/api/x', { 'content-type': 'text/plain' }, 'hello')).toMatchObject({
      ...{ status: 201, text: 'got hello', headers: { 'x-answer': 'yes' } },
    })
    const large = 'x'.repeat(1_500_000)
    expect((await ask(session, '/api/x', {}, large)).text).toBe(`got ${large}`)
    expect((await ask(session, '/api/x', {}, `${large}${large}`)).status).toBe(413)
    const all = await Promise.all(
      Array.from({ length: 50 }, (_, index) => ask(session, `/api/${index}`, {}, `${index}`)),
    )
    expect(all.map(({ text }) => text)).toEqual(Array.from({ length: 50 }, (_, index) => `got ${index}`))
    expect((await ask(session, '/health')).text).toBe('{"status":"ok"}')
    expect((await ask(session, '/__keypool/api/overview')).status).toBe(200)
    expect((await ask(session, '/nowhere')).status).toBe(404)
    expect(server.received[0]).toMatchObject({ headers: { authorization: 'Bearer upstream-key-a' } })
    expect(Object.keys(server.received[0]!.headers).filter(name => name.startsWith(':'))).toEqual([])
  })

  it('frees what a request held whose stream was reset', async () => {
    const server = await loopback((_, count) =>
      count > 0 ? { body: 'served' } : response => void response.flushHeaders(),
    )
    const { url } = await gateway({
      routes: { '/api': { upstream: server.url, keys, cache: false, limits: { concurrency: 1 }, maxWait: '5s' } },
    })
    const session = http2(url)
    const stream = session.request({ ':path': '/api/first' })
    stream.on('error', () => {})
    await new Promise(resolve => stream.once('response', resolve))
    stream.close(8)
    expect((await ask(session, '/api/second')).text).toBe('served')
  })

  it('is not shown to pages of others, nor to callers from elsewhere', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const { url } = await gateway({ routes: { '/api': { upstream: server.url, keys } } })
    const session = http2(url)
    expect((await ask(session, '/api/x', { ':authority': 'evil.example' })).status).toBe(403)
    expect((await ask(session, '/api/x', { 'x-forwarded-for': '203.0.113.9' })).status).toBe(403)
  })
})

describe('TLS', () => {
  it('serves HTTP/1.1 too, and goes on with other certificates after a reload', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const config = (name: string) => ({
      ...{ listen: { port: 0, tls: tls(name) }, log: false as const, allowPrivateUpstreams: ['127.0.0.0/8'] },
      routes: { '/api': { upstream: server.url, keys } },
    })
    const made = await gateway(config('first'))
    expect(made.url).toMatch(/^https:/)
    const status = await new Promise(resolve => {
      httpsRequest(`${made.url}/api/x`, { rejectUnauthorized: false, agent: false }, answer => {
        resolve(answer.resume().statusCode)
      }).end()
    })
    expect(status).toBe(200)
    const subject = () =>
      new Promise(resolve => {
        const socket = connectTls({ port: Number(new URL(made.url).port), rejectUnauthorized: false }, () => {
          resolve(socket.getPeerCertificate().subject.CN)
          socket.destroy()
        })
      })
    expect(await subject()).toBe('first')
    await made.reload(config('second'))
    expect(await subject()).toBe('second')
  })

  it.each([
    ['listen.tls.cert', { cert: 'of paper', key: pem('first', 'key') }],
    ['listen.tls.key', { cert: pem('first', 'cert'), key: 'a-secret-that-is-no-pem' }],
    ['listen.tls', { cert: pem('first', 'cert'), key: pem('second', 'key') }],
  ])('says at the start that %s is wrong, and quotes none of it', async (option, certificate) => {
    const made = gateway({ listen: { port: 0, tls: certificate }, routes: { '/api': { provider: 'openai', keys } } })
    const error = (await made.catch((failed: Error) => failed)) as Error & { option: string }
    expect(error.option).toBe(option)
    expect(error.message).not.toMatch(/paper|a-secret|PRIVATE/)
  })
})

describe('connections that keep what they have', () => {
  const short = { requestTimeout: 700, idleTimeout: 500, headersTimeout: 500, maxConnections: 10 }
  const open = (url: string, text: string | Buffer): Socket => {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => {})
    socket.pause()
    if (text.length > 0) socket.write(text)
    closers.push(() => socket.destroy())
    return socket
  }
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

  it.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['half a request line', 'GET /a'],
    ['half a header', 'GET /api/ok HTTP/1.1\r\nHost: 127.0.0.1\r\nX: '],
    ['half a body', 'POST /api/ok HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf'],
    ['half a chunk', 'POST /api/ok HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n40\r\nhalf'],
    ['no HTTP', 'garbage\r\n\r\n'],
    ['bytes of zero', Buffer.alloc(512)],
    ['a request that has its answer', 'GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'],
    ['half of the preface of HTTP/2', preface.slice(0, 10)],
    ['the preface of HTTP/2 alone', preface],
    ['the preface of HTTP/2 and no frames', `${preface}${'x'.repeat(64)}`],
  ])('are gone when they have said %s: others are served', async (_, text) => {
    const server = await loopback(() => ({ body: 'ok' }))
    const { url } = await gateway({
      server: { ...short, drain: 0 },
      routes: { '/api': { upstream: server.url, keys } },
    })
    for (let count = 0; count < 10; count++) open(url, text)
    await vi.waitFor(
      async () => {
        const answer = await fetch(`${url}/health`, { signal: AbortSignal.timeout(500) })
        await answer.text()
        expect(answer.status).toBe(200)
      },
      { timeout: 8_000, interval: 50 },
    )
  })

  it('are gone when they ask and ask, and wait for no answer', async () => {
    const server = await loopback(() => () => {})
    const running = await gateway({
      server: { drain: 0 },
      routes: { '/api': { upstream: server.url, keys, cache: false } },
    })
    const socket = open(running.url, 'GET /api/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'.repeat(20_000))
    socket.resume()
    await new Promise(resolve => socket.once('close', resolve))
    await vi.waitFor(() => {
      const { inFlight, waiting } = running.pool('/api').pool.stats()
      expect({ inFlight, waiting }).toEqual({ inFlight: 0, waiting: 0 })
    })
  })

  it.each([
    ['HTTP/1.1', false],
    ['HTTP/2', true],
  ])('are cut off when nobody reads an answer over %s, and give their places back', async (_, isHttp2) => {
    const big = Buffer.alloc(30e6, 'x')
    const server = await loopback(({ url }) => ({ body: url === '/big' ? big : 'ok' }))
    const { url } = await gateway({
      server: { ...short, drain: 0 },
      routes: { '/api': { upstream: server.url, keys, cache: false, limits: { concurrency: 1 }, maxWait: '10s' } },
    })
    if (isHttp2)
      http2(url)
        .request({ ':path': '/api/big' })
        .on('error', () => {})
    else open(url, 'GET /api/big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
    await vi.waitFor(() => expect(server.received).toHaveLength(1))
    expect(await (await fetch(`${url}/api/ok`)).text()).toBe('ok')
  })

  it('are kept as long as their callers read, however slowly', async () => {
    const big = Buffer.alloc(3e6, 'x')
    const server = await loopback(() => ({ body: big }))
    const { url } = await gateway({
      server: { ...short, drain: 0 },
      routes: { '/api': { upstream: server.url, keys, cache: false } },
    })
    let size = 0
    await new Promise<void>((resolve, reject) => {
      httpRequest(`${url}/api/big`, { agent: false }, async answer => {
        try {
          for await (const chunk of answer) {
            size += (chunk as Buffer).byteLength
            await new Promise(next => setTimeout(next, 25))
          }
          resolve()
        } catch (error) {
          reject(error)
        }
      }).end()
    })
    expect(size).toBe(big.byteLength)
  })
})

describe('services that fall silent', () => {
  async function raw(answer: (socket: Socket) => void): Promise<string> {
    const server = createRawServer(socket => {
      socket.on('error', () => {})
      closers.push(() => socket.destroy())
      socket.once('data', () => answer(socket))
    })
    closers.push(() => server.close())
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  it.each<[string, (socket: Socket) => void, number | 'cut']>([
    ['before their answer', () => {}, 504],
    ['in their header fields', socket => socket.write('HTTP/1.1 200 OK\r\nX-A: '), 504],
    ['in a small body', socket => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf'), 502],
    [
      'in a stream',
      socket => socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n'),
      'cut',
    ],
    [
      'but for informational answers without end',
      socket => {
        const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 50)
        socket.on('close', () => clearInterval(timer))
      },
      504,
    ],
  ])('%s are given up', async (_, answer, status) => {
    const upstream = await raw(answer)
    const { url } = await gateway({
      server: { stallTimeout: 500, drain: 0 },
      routes: { '/api': { upstream, keys, cache: false, retry: false } },
    })
    const got = await fetch(`${url}/api/x`, { signal: AbortSignal.timeout(10_000) })
    if (status !== 'cut') expect(got.status).toBe(status)
    else await expect(got.text()).rejects.toThrow(/terminated/)
  })

  it.each([
    ['304 with a length', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 20\r\n\r\n', 304],
    ['204 with a length', 'HTTP/1.1 204 No Content\r\nContent-Length: 20\r\n\r\n', 204],
    ['204 with chunks', 'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n', 204],
    ['205 with a body that is cut', 'HTTP/1.1 205 Reset Content\r\nContent-Length: 20\r\n\r\nhello', 205],
    ['205 with a body', 'HTTP/1.1 205 Reset Content\r\nContent-Length: 5\r\n\r\nhello', 205],
  ])(
    'and break off after a %s end that exchange only, and what is framed is what is sent',
    async (_, bytes, status) => {
      const upstream = await raw(socket => {
        socket.write(bytes)
        setTimeout(() => socket.end(), 50)
      })
      const { url } = await gateway({ routes: { '/api': { upstream, keys, cache: false, retry: false } } })
      const text = await new Promise<string>(resolve => {
        const socket = open(url)
        let all = ''
        socket.on('data', chunk => {
          all += chunk
          if (all.includes('"status":"ok"')) resolve(all)
        })
        socket.write('GET /api/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n')
      })
      const [first, second] = text.split('\r\n\r\n')
      expect(first).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
      expect(second).toMatch(/^HTTP\/1.1 200 OK/)
      if (status !== 304) expect(first).not.toMatch(/content-length: [1-9]/i)
      await new Promise(resolve => setTimeout(resolve, 100))
      expect((await fetch(`${url}/health`)).status).toBe(200)
    },
  )

  function open(url: string): Socket {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    closers.push(() => socket.destroy())
    return socket
  }
})
