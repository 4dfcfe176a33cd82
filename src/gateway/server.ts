import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { constants, createServer as createHttp2Server, type Http2Server, type ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket, type Server as TlsServer } from 'node:tls'
import { parseDuration } from '../duration.js'
import { InvalidOptionError } from '../errors.js'
import type { GatewayConfig, TlsConfig } from './config/config.js'

/** What a connection begins with that speaks HTTP/2 without having agreed on that by TLS (RFC 9113 section 3.4). */
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
/** So many requests may be on their way on one connection of HTTP/2. */
const STREAMS = 100

export type Serve = (incoming: IncomingMessage, outgoing: ServerResponse) => void

/** What listens: HTTP/1.1 and HTTP/2, with TLS or without, within bounds. */
export interface GatewayServer {
  /** What is to be told to listen, and tells of what goes wrong with that. */
  readonly listener: Server | TlsServer
  /** Goes on with other certificates; connections that there are keep theirs. @throws InvalidOptionError */
  renew(tls: TlsConfig | undefined): void
  /** Takes no more connections. @param closed - called when there are none left */
  stop(closed: () => void): void
  closeIdle(): void
  closeAll(): void
}

/** A server within bounds: of the size of headers, of the time that callers may take, of the number of connections. */
export function serverFor({ server: bounds = {}, listen = {} }: GatewayConfig, serve: Serve): GatewayServer {
  const time = (value: number | string | undefined, otherwise: string) => parseDuration(value ?? otherwise)!
  const requestTimeout = time(bounds.requestTimeout, '5m')
  // All of a request takes no less time than its headers.
  const headersTimeout = Math.min(time(bounds.headersTimeout, '10s'), requestTimeout)
  const idleTimeout = time(bounds.idleTimeout, '65s')
  const maxHeaderSize = bounds.maxHeaderBytes ?? 16_384
  const http1 = createServer(
    {
      ...{ maxHeaderSize, headersTimeout, requestTimeout, keepAliveTimeout: idleTimeout },
      ...{ connectionsCheckingInterval: Math.min(1_000, headersTimeout / 2), insecureHTTPParser: false, noDelay: true },
    },
    serve,
  )
  // Who asks first whether to send a body is told so when it is wanted: see `takeBody`.
  http1.on('checkContinue', serve)
  http1.on('clientError', refuseGarbage)
  const http2 = http2Server({ serve, requestTimeout, idleTimeout, maxHeaderSize })
  const open = new Set<Socket>()
  const sessions = new Set<ServerHttp2Session>()
  http2.on('session', session => {
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
    // Whoever breaks the protocol ends his own connection.
    session.on('error', () => {})
  })

  // The server's own way with a connection, which is taken once it is known what is spoken on it.
  const [begin] = http1.listeners('connection') as [(this: Server, socket: Socket) => void]
  http1.removeAllListeners('connection')
  function beginHttp2(socket: Socket): void {
    http2.once('session', session => session.once('close', () => socket.destroySoon()))
    http2.emit('connection', socket)
  }
  function connected(socket: Socket): void {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => socket.destroy())
    const { alpnProtocol } = socket as TLSSocket
    if (alpnProtocol === 'h2') beginHttp2(socket)
    else if (alpnProtocol === 'http/1.1') begin.call(http1, socket)
    else whenFirstBytes(socket, headersTimeout, isHttp2 => (isHttp2 ? beginHttp2(socket) : begin.call(http1, socket)))
  }

  const tls = listen.tls && createTlsServer({ ALPNProtocols: ['h2', 'http/1.1'], handshakeTimeout: headersTimeout })
  if (tls) useCertificate(tls, listen.tls!)
  if (tls) {
    tls.on('secureConnection', connected)
    // A handshake that fails is its caller's own affair.
    tls.on('tlsClientError', (_, socket) => socket.destroy())
    // What looks whether headers come in time begins when a server listens: this one never does itself.
    http1.emit('listening')
  } else http1.on('connection', connected)
  const listener = tls ?? http1
  listener.maxConnections = bounds.maxConnections ?? 10_000

  return {
    listener,
    renew(next) {
      if (tls && next) useCertificate(tls, next)
    },
    stop(closed) {
      listener.close(() => closed())
      if (tls) http1.close()
      for (const session of sessions) session.close()
    },
    closeIdle: () => http1.closeIdleConnections(),
    closeAll() {
      for (const session of sessions) session.destroy()
      for (const socket of open) socket.destroy()
    },
  }
}

interface Http2Bounds {
  readonly serve: Serve
  readonly requestTimeout: number
  readonly idleTimeout: number
  readonly maxHeaderSize: number
}

/** What serves HTTP/2; its requests and responses are like those of HTTP/1.1. */
function http2Server({ serve, requestTimeout, idleTimeout, maxHeaderSize }: Http2Bounds): Http2Server {
  const server = createHttp2Server({
    settings: { maxConcurrentStreams: STREAMS, maxHeaderListSize: maxHeaderSize, enablePush: false },
    maxSessionMemory: 10,
  })
  server.on('request', (incoming, outgoing) => {
    if (!incoming.stream.endAfterHeaders) {
      const timer = setTimeout(() => outgoing.stream.close(constants.NGHTTP2_CANCEL), requestTimeout)
      for (const event of ['end', 'close'] as const) incoming.once(event, () => clearTimeout(timer))
    }
    serve(incoming as unknown as IncomingMessage, outgoing as unknown as ServerResponse)
  })
  server.on('checkContinue', (incoming, outgoing) => {
    serve(incoming as unknown as IncomingMessage, outgoing as unknown as ServerResponse)
  })
  server.on('session', session => {
    let streams = 0
    session.on('stream', stream => {
      streams++
      stream.on('close', () => streams--)
      stream.on('error', () => {})
    })
    session.setTimeout(idleTimeout, () => {
      // A request that waits for its answer is not idle.
      if (streams === 0) session.destroy()
    })
  })
  server.on('sessionError', (_, session) => session.destroy())
  return server
}

/** Looks at what a connection begins with, and puts it back. Whoever says nothing in time is cut off. */
function whenFirstBytes(socket: Socket, patience: number, known: (isHttp2: boolean) => void): void {
  socket.setTimeout(patience, cutOff)
  let first: Buffer = Buffer.alloc(0)
  socket.on('data', look)
  function cutOff(): void {
    socket.destroy()
  }
  function look(bytes: Buffer): void {
    first = first.length === 0 ? bytes : Buffer.concat([first, bytes])
    const begin = first.toString('latin1', 0, PREFACE.length)
    if (begin.length < PREFACE.length && PREFACE.startsWith(begin)) return
    socket.off('data', look)
    socket.off('timeout', cutOff)
    socket.setTimeout(0)
    socket.pause()
    socket.unshift(first)
    // HTTP/2 takes what was put back by itself: flowing, it would be lost.
    known(begin === PREFACE)
    if (begin !== PREFACE) socket.resume()
  }
}

/** @throws InvalidOptionError */
function useCertificate(server: TlsServer, { cert, key }: TlsConfig): void {
  for (const [name, text] of [
    ['cert', cert],
    ['key', key],
  ] as const) {
    if (!text.includes('-----BEGIN ')) {
      throw new InvalidOptionError(
        `listen.tls.${name}`,
        "PEM, or 'file:' and the path of a file with it",
        'another text',
      )
    }
  }
  try {
    server.setSecureContext({ cert, key })
  } catch (error) {
    const { code = 'they can not be read' } = error as NodeJS.ErrnoException
    throw new InvalidOptionError('listen.tls', 'a certificate and the key that belongs to it', code)
  }
}

/** What is no HTTP is told so, as far as it still listens. */
function refuseGarbage(error: NodeJS.ErrnoException, duplex: unknown): void {
  const socket = duplex as Socket
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request'
  socket.write(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
  // Not `end`: whoever keeps its own half open would keep the connection for ever.
  socket.destroySoon()
}
