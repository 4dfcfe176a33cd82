import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { parseDuration } from '../duration.js'
import type { GatewayConfig } from './config/config.js'

/** A server within bounds: of the size of headers, of the time that callers may take, of the number of connections. */
export function serverFor(
  { server: bounds = {} }: GatewayConfig,
  serve: (incoming: IncomingMessage, outgoing: ServerResponse) => void,
): Server {
  const time = (value: number | string | undefined, otherwise: string) => parseDuration(value ?? otherwise)!
  const server = createServer(
    {
      maxHeaderSize: bounds.maxHeaderBytes ?? 16_384,
      // All of a request takes no less time than its headers.
      headersTimeout: Math.min(time(bounds.headersTimeout, '10s'), time(bounds.requestTimeout, '5m')),
      requestTimeout: time(bounds.requestTimeout, '5m'),
      keepAliveTimeout: time(bounds.idleTimeout, '65s'),
      connectionsCheckingInterval: 1_000,
      insecureHTTPParser: false,
      noDelay: true,
    },
    serve,
  )
  // Who asks first whether to send a body is told so when it is wanted: see `takeBody`.
  server.on('checkContinue', serve)
  server.maxConnections = bounds.maxConnections ?? 10_000
  // What is no HTTP is told so, as far as it still listens.
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
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
    ;(socket as Socket).destroySoon()
  })
  return server
}
