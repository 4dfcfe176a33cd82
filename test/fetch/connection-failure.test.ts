import { wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { isConnectionFailure } from '../../src/http/connection-failure.js'
import { loopback } from '../helpers/loopback.js'

const coded = (error: Error, code: unknown) => Object.assign(error, { code })
const failed = (cause?: unknown) => new TypeError('fetch failed', { cause })
const named = (name: string, message = 'x') => Object.assign(new Error(message), { name })

const TRANSIENT: [string, unknown][] = [
  ...[
    'ECONNRESET',
    'ECONNREFUSED',
    'ECONNABORTED',
    'ETIMEDOUT',
    'EPIPE',
    'ENETUNREACH',
    'EHOSTUNREACH',
    'ENETDOWN',
    'EAI_AGAIN',
    'ENOTFOUND',
    'UND_ERR_SOCKET',
    'UND_ERR_CONNECT_TIMEOUT',
    'UND_ERR_HEADERS_TIMEOUT',
    'UND_ERR_BODY_TIMEOUT',
    'ERR_HTTP2_GOAWAY_SESSION',
    'ERR_STREAM_PREMATURE_CLOSE',
  ].flatMap((code): [string, unknown][] => [
    [`${code} of the cause`, failed(coded(new Error('x'), code))],
    [`${code} of the error`, coded(new Error('x'), code)],
    [
      `${code} deep in the chain`,
      failed(new Error('a', { cause: new Error('b', { cause: coded(new Error('c'), code) }) })),
    ],
  ]),
  [
    'one of several addresses',
    failed(new AggregateError([coded(new Error('x'), 'ENETUNREACH'), coded(new Error('y'), 'ECONNREFUSED')])),
  ],
  ['node-fetch', Object.assign(named('FetchError'), { type: 'system', code: 'ECONNRESET' })],
  ...['ConnectionRefused', 'ConnectionClosed', 'FailedToOpenSocket'].map((code): [string, unknown] => [
    `Bun’s ${code}`,
    coded(new Error('Unable to connect. Is the computer able to access the url?'), code),
  ]),
  [
    'Deno’s refused connection',
    new TypeError(
      'error sending request for url (http://a.test/): client error (Connect): tcp connect error: Connection refused (os error 111)',
    ),
  ],
  ['Deno’s, with the words in the cause', failed(new Error('client error (Connect)'))],
  ['Deno’s connection that was closed', failed(new Error('connection closed before message completed'))],
  ['a name that could not be resolved', failed(new Error('dns error: failed to lookup address information'))],
  ['undici’s word for a failed connection alone', failed()],
  ['Chrome', new TypeError('Failed to fetch')],
  ['Firefox', new TypeError('NetworkError when attempting to fetch resource.')],
  ['Cloudflare', new TypeError('Network connection lost')],
  ...[502, 503, 504].map((status): [string, unknown] => [
    `a proxy that answers CONNECT with a ${status}`,
    failed(coded(named('AbortError', `Proxy response (${status}) !== 200 when HTTP Tunneling`), 'UND_ERR_ABORTED')),
  ]),
]

const LASTING: [string, unknown][] = [
  ['an abort', new DOMException('x', 'AbortError')],
  [
    'an abort with a connection in its cause',
    Object.assign(named('AbortError'), { cause: coded(new Error('x'), 'ECONNRESET') }),
  ],
  ['an error that is no network error', new Error('not signed in')],
  ['a RangeError', new RangeError('own')],
  ['a TypeError of a program', new TypeError("Cannot read properties of undefined (reading 'x')")],
  ['a certificate that is not trusted', failed(coded(new Error('x'), 'DEPTH_ZERO_SELF_SIGNED_CERT'))],
  ['a certificate that has expired', failed(coded(new Error('x'), 'CERT_HAS_EXPIRED'))],
  ['an answer that is no HTTP', failed(coded(new Error('x'), 'HPE_INVALID_CONSTANT'))],
  ['a request that is none', failed(coded(new Error('invalid header'), 'UND_ERR_INVALID_ARG'))],
  ['a redirect that was not wanted', failed(new Error('unexpected redirect'))],
  ['a scheme that is not known', failed(new Error('unknown scheme'))],
  ['a port that is not allowed', failed(new Error('bad port'))],
  [
    'a proxy that answers CONNECT with a 407',
    failed(coded(named('AbortError', 'Proxy response (407) !== 200 when HTTP Tunneling'), 'UND_ERR_ABORTED')),
  ],
  ['a file that is not there', failed(coded(new Error('no such file'), 'ENOENT'))],
  ['no error at all', 'a text'],
  ['nothing', undefined],
]

describe('a failed connection', () => {
  it.each(TRANSIENT)('is %s', (_, error) => {
    expect(isConnectionFailure(error)).toBe(true)
  })

  it.each(LASTING)('is not %s', (_, error) => {
    expect(isConnectionFailure(error)).toBe(false)
  })

  it('is looked for in chains that have no end, and in very long ones', () => {
    const first = new Error('a')
    const second = new Error('b', { cause: first })
    first.cause = second
    expect(isConnectionFailure(failed(first))).toBe(false)
    let long: unknown = coded(new Error('x'), 'ECONNRESET')
    for (let depth = 0; depth < 100_000; depth++) long = Object.assign(new Error('y'), { cause: long })
    expect(isConnectionFailure(long)).toBe(false)
    const many = new AggregateError(Array.from({ length: 100_000 }, () => new AggregateError([new Error('x')])))
    expect(isConnectionFailure(failed(many))).toBe(false)
  })

  it.each([...TRANSIENT.slice(0, 3), ...LASTING.slice(0, 4)])(
    'decides how often a call is sent: %s',
    async (_, error) => {
      let sent = 0
      const base = async () => {
        sent++
        throw error
      }
      const fetch = wrapFetch(base, { origins: 'http://a.test', keys: ['a'], retry: { retries: 2, minDelay: 1 } })
      await expect(fetch('http://a.test/')).rejects.toBe(error)
      expect(sent).toBe(isConnectionFailure(error) ? 3 : 1)
    },
  )

  it('behind a real proxy that answers CONNECT with 503 is tried again', async () => {
    const { ProxyAgent, fetch: undiciFetch } = await import('undici')
    const { createServer } = await import('node:http')
    let connects = 0
    const proxy = createServer()
    proxy.on('connect', (_, socket) => {
      connects++
      socket.end('HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n')
    })
    await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
    const { port } = proxy.address() as { port: number }
    const target = await loopback(() => ({}))
    const dispatcher = new ProxyAgent({ uri: `http://127.0.0.1:${port}`, proxyTunnel: true })
    try {
      const fetch = wrapFetch(undiciFetch as never, {
        origins: target.url,
        keys: ['a'],
        retry: { retries: 2, minDelay: 1 },
      })
      await expect(fetch(target.url, { dispatcher } as RequestInit)).rejects.toBeInstanceOf(TypeError)
      expect(connects).toBe(3)
    } finally {
      await dispatcher.close()
      proxy.close()
    }
  })
})
