import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { afterEach } from 'vitest'

/** A request as the server saw it. */
export interface Received {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
  /** The key of a bearer token, or of whatever else the test puts keys into. */
  readonly key: string
}

/** What the server answers: in full, or by taking over the response. */
export type Reply =
  | {
      status?: number
      headers?: Record<string, string | string[] | undefined>
      body?: string | Uint8Array
      delay?: number
    }
  | ((response: ServerResponse, request: IncomingMessage) => void)

export interface Loopback {
  readonly url: string
  readonly received: Received[]
  /** The keys of all requests so far, in order. */
  keys(): string[]
}

const servers = new Set<Server>()

afterEach(() => {
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
  servers.clear()
})

/** A scripted server on loopback; it is closed when the test ends. */
export async function loopback(
  script: (request: Received, count: number) => Reply | Promise<Reply>,
): Promise<Loopback> {
  const received: Received[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of request) chunks.push(chunk as Buffer)
    } catch {
      // The client went away in the middle of its body, as the test wanted.
      return
    }
    const seen: Received = {
      method: request.method!,
      url: request.url!,
      headers: request.headers,
      body: Buffer.concat(chunks).toString(),
      key: keyOf(request),
    }
    received.push(seen)
    const reply = await script(seen, received.length)
    if (typeof reply === 'function') return reply(response, request)
    if (reply.delay) await new Promise(resolve => setTimeout(resolve, reply.delay))
    const { headers = {} } = reply
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) response.setHeader(name, value)
    response.writeHead(reply.status ?? 200)
    response.end(reply.body ?? '')
  })
  servers.add(server)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || !address) throw new Error('no address')
  return { url: `http://127.0.0.1:${address.port}`, received, keys: () => received.map(({ key }) => key) }
}

/** A server that keeps the headers of the last request as they came over the wire. */
export async function loopbackRaw(): Promise<{ readonly url: string; readonly rawHeaders: readonly string[] }> {
  const last = { url: '', rawHeaders: [] as string[] }
  const server = await loopback(() => (response, request) => {
    last.rawHeaders = request.rawHeaders
    response.end('ok')
  })
  last.url = server.url
  return last
}

function keyOf(request: IncomingMessage): string {
  const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
  return (
    bearer ??
    (request.headers['x-api-key'] as string | undefined) ??
    new URL(request.url!, 'http://x').searchParams.get('key') ??
    ''
  )
}
