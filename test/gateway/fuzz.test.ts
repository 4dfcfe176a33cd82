import { connect as connectHttp2 } from 'node:http2'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { gateway, type RunningGateway } from '../helpers/gateway.js'

/** What a service does with one request: pieces of bytes, each after a pause, and then how it ends. */
interface Script {
  readonly pieces: readonly { readonly bytes: string; readonly pause: number }[]
  readonly end: 'end' | 'destroy' | 'reset' | 'stay'
}

/** What a caller does. */
interface Caller {
  readonly protocol: 'HTTP/1.1' | 'HTTP/2'
  readonly method: string
  readonly headers: string
  readonly body: string
  /** When it hangs up, in milliseconds; `undefined`: it waits for the answer. */
  readonly leaves: number | undefined
}

const status = fc.oneof(
  fc.constantFrom(200, 201, 204, 205, 206, 301, 304, 400, 401, 403, 404, 409, 413, 418, 429, 500, 502, 503, 504, 529),
  fc.constantFrom(100, 101, 102, 103, 199, 599, 600, 999, 0),
)
const body = fc.oneof(
  fc.constant(''),
  fc.string({ maxLength: 40 }),
  fc.constant('x'.repeat(70_000)),
  fc.constant('{"usage":{"total_tokens":5}}'),
)
const field = fc.constantFrom(
  ...[
    'Content-Type: application/json',
    'Content-Type: text/event-stream',
    'Content-Type: text/html',
    'Content-Type: ;;;',
    'Content-Encoding: gzip',
  ],
  ...[
    'Content-Encoding: br',
    'Content-Encoding: deflate, gzip',
    'Connection: close',
    'Connection: upgrade, x-y',
    'Retry-After: 0',
    'Retry-After: -1',
  ],
  ...[
    'Retry-After: soon',
    'Set-Cookie: a=b',
    'ETag: "x"',
    'Cache-Control: max-age=60',
    'Cache-Control: no-cache',
    'Location: http://[',
    'Location: //x',
  ],
  ...[
    'X-Y: \u00e9\u0080\u00ff',
    'X-Empty:',
    `X-Long: ${'y'.repeat(9_000)}`,
    'Vary: *',
    'Trailer: X-T',
    'Upgrade: websocket',
    'Age: 99999999999',
    'Date: yesterday',
  ],
  ...[
    'X-RateLimit-Remaining: 0',
    'RateLimit: "x";r=0;t=1',
    'Keep-Alive: timeout=0',
    'Content-Range: bytes 0-1/2',
    'Link: <x>; rel="next"',
    'X-Bad\u0000: x',
  ],
)
const framing = fc.oneof(
  fc.record({ kind: fc.constant('length' as const), wrong: fc.constantFrom(0, 0, 0, 5, -1, 1e6) }),
  fc.record({ kind: fc.constant('chunks' as const), cut: fc.boolean() }),
  fc.record({ kind: fc.constant('close' as const) }),
  fc.record({ kind: fc.constant('both' as const) }),
)

function answerOf(
  code: number,
  fields: readonly string[],
  text: string,
  how: { kind: string; wrong?: number; cut?: boolean },
): string {
  const length = Buffer.byteLength(text, 'latin1')
  const chunk = `${length.toString(16)}\r\n${text}\r\n`
  const framed = {
    length: [`Content-Length: ${length + (how.wrong ?? 0)}\r\n`, text],
    chunks: ['Transfer-Encoding: chunked\r\n', (length === 0 ? '' : chunk) + (how.cut ? '5\r\nab' : '0\r\n\r\n')],
    close: ['', text],
    both: [`Content-Length: ${length}\r\nTransfer-Encoding: chunked\r\n`, `${length === 0 ? '' : chunk}0\r\n\r\n`],
  }[how.kind]!
  const head = `HTTP/1.1 ${String(code).padStart(3, '0')} Words\r\n${fields.map(each => `${each}\r\n`).join('')}`
  return `${head}${framed[0]}\r\n${framed[1]}`
}

const answer = fc.tuple(status, fc.array(field, { maxLength: 6 }), body, framing).map(parts => answerOf(...parts))
const bytes = fc.oneof(
  { weight: 8, arbitrary: answer },
  { weight: 1, arbitrary: fc.constant('HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n') },
  { weight: 1, arbitrary: fc.string({ maxLength: 60 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '',
      'HTTP/1.1 200',
      'HTTP/0.9 200 OK\r\n\r\n',
      'HTTP/1.1 200 OK\r\nX',
      'SSH-2.0-x\r\n',
      '\u0000'.repeat(100),
    ),
  },
)
const script: fc.Arbitrary<Script> = fc.record({
  pieces: fc.oneof(
    fc.array(fc.record({ bytes, pause: fc.constantFrom(0, 0, 5, 30) }), { minLength: 1, maxLength: 2 }),
    // One answer, in pieces.
    fc.tuple(answer, fc.integer({ min: 1, max: 200 })).map(([text, size]) => [
      { bytes: text.slice(0, size), pause: 0 },
      { bytes: text.slice(size), pause: 10 },
    ]),
  ),
  end: fc.constantFrom('end', 'end', 'destroy', 'reset', 'stay'),
})
const caller: fc.Arbitrary<Caller> = fc.record({
  protocol: fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/2'),
  method: fc.constantFrom('GET', 'GET', 'POST', 'POST', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'),
  headers: fc.constantFrom(
    '',
    'Accept-Encoding: gzip',
    'If-None-Match: "x"',
    'Range: bytes=0-1',
    'Cache-Control: no-store',
    'Connection: close',
  ),
  body: fc.constantFrom('', '{"model":"x","stream":true}', 'x'.repeat(3_000)),
  leaves: fc.option(fc.constantFrom(0, 5, 40), { nil: undefined, freq: 3 }),
})

describe('the path of a request through the gateway', () => {
  const scripts: Script[] = []
  const sockets = new Set<Socket>()
  let service: Server
  let running: RunningGateway
  const uncaught: unknown[] = []
  const note = (error: unknown) => void uncaught.push(error)

  beforeAll(async () => {
    service = createServer(socket => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      socket.on('error', () => {})
      socket.on('data', async () => {
        const { pieces, end } = scripts.shift() ?? { pieces: [], end: 'destroy' }
        for (const { bytes, pause } of pieces) {
          if (pause > 0) await new Promise(resolve => setTimeout(resolve, pause))
          if (bytes !== '') socket.write(Buffer.from(bytes, 'latin1'))
        }
        if (end === 'end') socket.end()
        else if (end === 'destroy') socket.destroy()
        else if (end === 'reset') socket.resetAndDestroy()
      })
    })
    await new Promise<void>(resolve => service.listen(0, '127.0.0.1', resolve))
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) process.on(event, note)
  })
  afterAll(() => {
    for (const event of ['uncaughtException', 'unhandledRejection'] as const) process.off(event, note)
    for (const socket of sockets) socket.destroy()
    service.close()
  })

  const fresh = () =>
    gateway({
      server: { stallTimeout: 400, idleTimeout: 400, drain: 0 },
      policies: [{ name: 'purse', rateLimit: { tokens: 1_000_000, requests: 100_000, concurrency: 100, per: '1m' } }],
      routes: {
        '/api': {
          upstream: `http://127.0.0.1:${(service.address() as AddressInfo).port}`,
          keys: ['key-one-0001', 'key-two-0002'],
          limits: { concurrency: 4 },
          maxWait: '1s',
          retry: 1,
          timeout: { total: 1_500 },
        },
      },
    })

  /** Settles when the caller has what it wants, or has gone, or was let go. */
  function call({ protocol, method, headers, body, leaves }: Caller): Promise<void> {
    const { port } = new URL(running.url)
    return new Promise(resolve => {
      if (protocol === 'HTTP/2') {
        const session = connectHttp2(running.url)
        session.on('error', () => {})
        const [name, value] = headers === '' || headers === 'Connection: close' ? ['x-a', 'b'] : headers.split(': ')
        const stream = session.request({ ':path': '/api/x', ':method': method, [name!.toLowerCase()]: value })
        stream.on('error', () => {})
        stream.resume().on('close', () => {
          session.destroy()
          resolve()
        })
        stream.end(method === 'GET' || method === 'HEAD' ? '' : body)
        if (leaves !== undefined) setTimeout(() => stream.close(8), leaves)
        return
      }
      const socket = connect(Number(port), '127.0.0.1')
      const done = () => {
        socket.destroy()
        resolve()
      }
      socket.on('error', done)
      socket.on('close', done)
      socket.on('data', bytes => {
        // Whatever it is, it is an answer.
        if (/^HTTP\/1\.1 \d{3} /.test(bytes.toString('latin1')) && leaves === undefined) setTimeout(done, 60)
      })
      const sent = method === 'GET' || method === 'HEAD' ? '' : body
      const length = sent === '' ? '' : `Content-Length: ${sent.length}\r\n`
      socket.write(
        `${method} /api/x HTTP/1.1\r\nHost: 127.0.0.1\r\n${headers === '' ? '' : `${headers}\r\n`}${length}\r\n${sent}`,
      )
      if (leaves !== undefined) setTimeout(done, leaves)
    })
  }

  it('survives whatever services and callers do: nothing is uncaught, and every place comes back', {
    timeout: 120_000,
  }, async () => {
    running = await fresh()
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(script, caller), { minLength: 4, maxLength: 12 }), async exchanges => {
        scripts.splice(0, scripts.length, ...exchanges.map(([each]) => each))
        await Promise.all(exchanges.map(([, each]) => call(each)))
        for (const socket of sockets) socket.destroy()
        await vi.waitFor(
          () => {
            const { waiting, inFlight } = running.pool('/api').pool.stats()
            expect({ waiting, inFlight }).toEqual({ waiting: 0, inFlight: 0 })
          },
          { timeout: 5_000, interval: 5 },
        )
        expect((await fetch(`${running.url}/health`)).status).toBe(200)
        expect(uncaught).toEqual([])
        // What services have said of their limits is not to hold up the next round.
        running.pool('/api').pool.reset()
      }),
      { numRuns: 1_000, endOnFailure: true, interruptAfterTimeLimit: 15_000 },
    )
  })
})
