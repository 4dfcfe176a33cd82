import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { wrapFetch } from 'fetch-keypool'

export type Fetch = typeof globalThis.fetch

/** What a server of the suite answers, by the path that is asked for. */
export type Handler = (request: IncomingMessage, response: ServerResponse, body: Buffer) => void

export interface Site {
  readonly origin: string
  /** Another origin, of which the pool knows nothing. */
  readonly elsewhere: string
}

export interface Case {
  readonly name: string
  /** Calls fetch as a program would, and says what it saw. */
  run(fetch: Fetch, site: Site): unknown
  readonly serve?: Handler
  readonly inAnyOrder?: boolean
}

/** Runs a case over a fetch, with servers of its own, and says all that could be seen of it: by the caller and by the servers. */
export async function observe(each: Case, wrap: boolean, options: object = {}): Promise<unknown> {
  const requests: unknown[] = []
  const servers: Server[] = []
  const open = async (name: string) => {
    const server = createServer(async (request, response) => {
      const chunks: Buffer[] = []
      try {
        for await (const chunk of request) chunks.push(chunk as Buffer)
      } catch {
        // Its body was cut off by the client; what has come is compared all the same.
        requests.push(['cut off', name, request.method, request.url])
        return
      }
      const body = Buffer.concat(chunks)
      requests.push(seen(name, request, body))
      response.setHeader('date', 'Sun, 06 Sep 2026 12:00:00 GMT')
      if (each.serve) each.serve(request, response, body)
      else response.end('plain')
    })
    server.keepAliveTimeout = 60_000
    servers.push(server)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (typeof address !== 'object' || !address) throw new Error('no address')
    return `http://127.0.0.1:${address.port}`
  }
  const site = { origin: await open('origin'), elsewhere: await open('elsewhere') }
  const fetch = wrap
    ? wrapFetch(globalThis.fetch, {
        origins: site.origin,
        keys: ['the-first-key', 'the-second-key'],
        retry: { retries: 2, minDelay: 1 },
        ...options,
      })
    : globalThis.fetch
  try {
    const outcome = await settle(() => each.run(fetch, site))
    // Retries send the same again: it is one thing that was asked. What runs at once comes in any order.
    const asked = [...new Set(requests.map(request => JSON.stringify(request)))]
    if (each.inAnyOrder) asked.sort()
    return JSON.parse(
      JSON.stringify({ outcome, asked })
        .replaceAll(site.origin, 'http://origin')
        .replaceAll(site.elsewhere, 'http://elsewhere')
        .replaceAll(new URL(site.origin).host, 'origin')
        .replaceAll(new URL(site.elsewhere).host, 'elsewhere')
        .replaceAll(encodeURIComponent(site.elsewhere), 'elsewhere')
        .replaceAll(/blob:nodedata:[\da-f-]+/g, 'blob:own')
        .replaceAll(/-{2,}formdata-undici-\d+/g, '--boundary')
        .replaceAll(/----formdata-undici-\d+/g, '--boundary'),
    )
  } finally {
    for (const server of servers) {
      server.closeAllConnections()
      server.close()
    }
  }
}

function seen(name: string, request: IncomingMessage, body: Buffer): unknown {
  const headers: [string, string][] = []
  for (let index = 0; index < request.rawHeaders.length; index += 2) {
    const [header, value] = [request.rawHeaders[index]!.toLowerCase(), request.rawHeaders[index + 1]!]
    // The one thing that the pool adds.
    if (header === 'authorization' && /^Bearer the-(first|second)-key$/.test(value)) continue
    headers.push([header, value])
  }
  return [name, request.method, request.url, headers.sort(), body.toString('latin1')]
}

async function settle(run: () => unknown): Promise<unknown> {
  try {
    return ['resolved', await run()]
  } catch (error) {
    return ['rejected', describeError(error)]
  }
}

/** An error as a program can tell it from others. */
export function describeError(error: unknown, depth = 0): unknown {
  if (typeof error !== 'object' || error === null) return ['no error', typeof error, String(error)]
  const { name, message, code, cause } = error as Record<string, unknown>
  const kind = Object.prototype.toString.call(error)
  const classes = [TypeError, RangeError, SyntaxError, DOMException, Error].filter(each => error instanceof each)
  return {
    kind,
    classes: classes.map(each => each.name),
    name,
    message: typeof message === 'string' ? message.replaceAll(/127\.0\.0\.1:\d+/g, 'address') : message,
    code,
    own: Object.keys(error).filter(key => key !== 'cause'),
    cause: cause === undefined || depth > 3 ? undefined : describeError(cause, depth + 1),
  }
}

/** A response as a program can see it, read to its end. */
export async function describeResponse(response: Response): Promise<unknown> {
  const before = facts(response)
  const clone = response.clone()
  const body = await settle(async () => Buffer.from(await response.arrayBuffer()).toString('latin1'))
  return {
    before,
    body,
    after: { bodyUsed: response.bodyUsed, locked: response.body?.locked },
    clone: [facts(clone), await settle(() => clone.text())],
    again: await settle(() => response.text()),
    cloneAgain: await settle(() => response.clone()),
  }
}

function facts(response: Response): unknown {
  const { status, statusText, ok, type, url, redirected, bodyUsed, headers, body } = response
  return {
    ...{ status, statusText, ok, type, url, redirected, bodyUsed },
    headers: [...headers].filter(([name]) => name !== 'keep-alive'),
    cookies: headers.getSetCookie(),
    body: body === null ? null : Object.prototype.toString.call(body),
    class: response instanceof Response,
    tag: Object.prototype.toString.call(response),
  }
}
