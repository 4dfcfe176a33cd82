import { wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { loopback } from '../helpers/loopback.js'

/** All that a caller can see of an outcome. */
async function seen(outcome: Promise<Response>) {
  try {
    const response = await outcome
    const { status, statusText, ok, redirected, type, url, bodyUsed } = response
    const headers = [...response.headers].filter(([name]) => !['date', 'connection', 'keep-alive'].includes(name))
    return {
      status,
      statusText,
      ok,
      redirected,
      type,
      url,
      bodyUsed,
      headers,
      hasBody: response.body !== null,
      text: await response.text(),
    }
  } catch (error) {
    const { name, message } = error as Error
    return {
      name,
      message,
      type: (error as Error).constructor.name,
      cause: ((error as Error).cause as Error | undefined)?.message,
    }
  }
}

const echo = () =>
  loopback(({ method, url, headers, body }) => {
    const { host: _, connection: __, authorization: ___, ...rest } = headers
    const status = Number(/^\/status\/(\d+)/.exec(url)?.[1] ?? 200)
    if (status === 204 || status === 304) return { status }
    return {
      status,
      headers: { 'x-method': method, 'content-type': 'application/json' },
      body: JSON.stringify({ method, url, rest, body }),
    }
  })

type Case = [what: string, call: (url: string) => [RequestInfo | URL, RequestInit?]]
const form = () => {
  const data = new URLSearchParams({ a: '1 2', b: 'ü' })
  return data
}
const cases: Case[] = [
  ['a string', url => [url]],
  ['a URL', url => [new URL(`${url}/a?b=c#d`)]],
  ['a Request', url => [new Request(`${url}/a`, { headers: { 'x-a': 'b' } })]],
  [
    'a Request with an init over it',
    url => [new Request(url, { method: 'POST', body: 'one' }), { body: 'two', headers: { 'x-c': 'd' } }],
  ],
  ['a Request with a body', url => [new Request(url, { method: 'POST', body: 'body' })]],
  ['a lower-case method', url => [url, { method: 'post', body: 'x' }]],
  ['an unusual method', url => [url, { method: 'patch', body: 'x' }]],
  ['HEAD', url => [url, { method: 'HEAD' }]],
  ['DELETE', url => [url, { method: 'DELETE' }]],
  [
    'headers as an array',
    url => [
      url,
      {
        headers: [
          ['x-a', '1'],
          ['x-a', '2'],
        ],
      },
    ],
  ],
  ['headers as Headers', url => [url, { headers: new Headers({ 'x-a': '1' }) }]],
  ['text', url => [url, { method: 'POST', body: 'text' }]],
  ['bytes', url => [url, { method: 'POST', body: new Uint8Array([104, 105]) }]],
  ['a buffer', url => [url, { method: 'PUT', body: new TextEncoder().encode('buffer').buffer }]],
  ['a blob with a type', url => [url, { method: 'POST', body: new Blob(['b'], { type: 'text/x' }) }]],
  ['a form', url => [url, { method: 'POST', body: form() }]],
  ['a stream', url => [url, { method: 'POST', body: new Blob(['streamed']).stream(), duplex: 'half' } as RequestInit]],
  ['an empty body', url => [url, { method: 'POST', body: '' }]],
  ['a null body', url => [url, { method: 'POST', body: null }]],
  ['no content', url => [`${url}/status/204`]],
  ['not modified', url => [`${url}/status/304`, { headers: { 'if-none-match': '"x"' } }]],
  ['an error status', url => [`${url}/status/404`]],
  ['a bad method', url => [url, { method: 'TRACE' }]],
  ['a method that is none', url => [url, { method: 'a b' }]],
  ['GET with a body', url => [url, { body: 'x' }]],
  ['a bad header', url => [url, { headers: { 'bad name': 'x' } }]],
  ['a bad header value', url => [url, { headers: { a: 'b\nc' } }]],
  ['credentials in the URL', url => [url.replace('://', '://user:pass@')]],
  ['a URL that is none', () => ['not a url']],
  ['a stream without duplex', url => [url, { method: 'POST', body: new Blob(['x']).stream() }]],
  ['a bad mode', url => [url, { mode: 'navigate' }]],
  ['a bad redirect', url => [url, { redirect: 'maybe' as RequestRedirect }]],
  ['a signal that is none', url => [url, { signal: {} as AbortSignal }]],
  ['an aborted signal', url => [url, { signal: AbortSignal.abort() }]],
  ['a data: URL', () => ['data:text/plain,hello']],
  ['a dead port', () => ['http://127.0.0.1:1/']],
]

describe('the wrapped fetch is a fetch', () => {
  it.each(cases)('with %s', async (_, call) => {
    const server = await echo()
    const options = { keys: ['k'], retry: false, limits: [{ requests: 1000, per: '1m' }, { concurrency: 50 }] } as const
    const fetch = wrapFetch(globalThis.fetch, { ...options, origins: [server.url, 'http://127.0.0.1:1'] })
    const ours = await seen(fetch(...call(server.url)))
    const bare = await seen(globalThis.fetch(...call(server.url)))
    expect(ours).toEqual(bare)
  })

  it('has its name, its length, and clones', async () => {
    const server = await echo()
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['k'] })
    expect({ name: fetch.name, length: fetch.length }).toEqual({ name: 'fetch', length: globalThis.fetch.length })
    const response = await fetch(`${server.url}/x`)
    const clone = response.clone()
    expect(clone.url).toBe(response.url)
    expect(await clone.text()).toBe(await response.text())
  })

  it('takes a body that was used as fetch does', async () => {
    const server = await echo()
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['k'] })
    const request = new Request(server.url, { method: 'POST', body: 'x' })
    await request.text()
    await expect(fetch(request)).rejects.toBeInstanceOf(TypeError)
    await expect(globalThis.fetch(request)).rejects.toBeInstanceOf(TypeError)
  })

  it('streams up and down, chunk by chunk', async () => {
    const server = await loopback(({ body }) => response => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(`data: ${body}\n\n`)
      setTimeout(() => response.end('data: end\n\n'), 50)
    })
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['k'], limits: { concurrency: 2 } })
    const chunks: string[] = []
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('up'))
        controller.close()
      },
    })
    const response = await fetch(server.url, { method: 'POST', body, duplex: 'half' } as RequestInit)
    for await (const chunk of response.body!) chunks.push(new TextDecoder().decode(chunk))
    expect(chunks).toEqual(['data: up\n\n', 'data: end\n\n'])
  })

  it('keeps backpressure where permits are held to the end of the body', async () => {
    let sent = 0
    const server = await loopback(() => async response => {
      response.on('error', () => {})
      for (let index = 0; index < 400 && !response.destroyed; index++) {
        sent += 65_536
        if (!response.write(Buffer.alloc(65_536)))
          await new Promise(resolve => response.once('drain', resolve).once('close', resolve))
      }
      response.end()
    })
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['k'], limits: { concurrency: 2 } })
    const response = await fetch(server.url)
    await new Promise(resolve => setTimeout(resolve, 300))
    expect(sent).toBeLessThan(20_000_000)
    let received = 0
    for await (const chunk of response.body!) received += chunk.byteLength
    expect(received).toBe(400 * 65_536)
  })
})
