import { Buffer } from 'node:buffer'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { type Case, describeError, describeResponse, type Fetch, type Handler, type Site } from './observe.js'

type Init = RequestInit & { duplex?: 'half' }
const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))

/** One call, and everything about its response. */
const call = (name: string, input: (site: Site) => unknown, init?: () => unknown, serve?: Handler): Case => ({
  name,
  async run(fetch, site) {
    return describeResponse(await fetch(input(site) as string, init?.() as Init))
  },
  ...(serve && { serve }),
})
const get = (name: string, serve: Handler, init: Init = {}) =>
  call(
    name,
    ({ origin }) => `${origin}/x`,
    () => init,
    serve,
  )
const at = ({ origin }: Site) => `${origin}/x?q=1`
const stream = (...chunks: (string | Uint8Array)[]) =>
  new ReadableStream({
    start(controller) {
      for (const chunk of chunks)
        controller.enqueue(typeof chunk === 'string' ? new TextEncoder().encode(chunk) : chunk)
      controller.close()
    },
  })
const form = () => {
  const data = new FormData()
  data.append('a', '1')
  data.append('a', 'zwei ü')
  data.append('file', new File(['content'], 'name "quoted".txt', { type: 'text/plain' }))
  return data
}

const BODIES: [name: string, body: () => unknown][] = [
  ['none', () => undefined],
  ['null', () => null],
  ['text', () => 'text ü'],
  ['empty text', () => ''],
  ['form', form],
  ['empty form', () => new FormData()],
  ['parameters', () => new URLSearchParams('a=1&b=ü')],
  ['a blob with a type', () => new Blob(['blob'], { type: 'image/x-own' })],
  ['a blob without one', () => new Blob(['blob'])],
  ['an empty blob', () => new Blob([])],
  ['bytes', () => new Uint8Array([0, 255, 10])],
  ['a view of some of the bytes', () => new Uint8Array([0, 1, 2, 3, 4]).subarray(1, 3)],
  ['a buffer', () => new Uint8Array([1, 2]).buffer],
  ['a DataView', () => new DataView(new Uint8Array([1, 2, 3]).buffer, 1)],
  ['numbers', () => new Uint16Array([1, 2])],
  ['a Node buffer', () => Buffer.from('node')],
  ['a number', () => 5],
  ['an object', () => ({ a: 1 })],
  ['true', () => true],
]

const METHODS = [
  'GET',
  'get',
  'HEAD',
  'POST',
  'post',
  'PUT',
  'put',
  'DELETE',
  'delete',
  'OPTIONS',
  'PATCH',
  'patch',
  'REPORT',
  'pOsT',
]

const methodsAndBodies: Case[] = [
  ...METHODS.flatMap(method =>
    BODIES.slice(0, 4).map(([name, body]) => call(`${method} with ${name}`, at, () => ({ method, body: body() }))),
  ),
  ...BODIES.slice(4).map(([name, body]) => call(`POST with ${name}`, at, () => ({ method: 'POST', body: body() }))),
  ...BODIES.slice(2, 9).map(([name, body]) =>
    call(`POST with ${name} and a content type`, at, () => ({
      method: 'POST',
      body: body(),
      headers: { 'content-type': 'x/y' },
    })),
  ),
  ...BODIES.slice(2, 9).map(([name, body]) => ({
    name: `a Request with ${name}`,
    run: async (fetch: Fetch, site: Site) => {
      const request = new Request(at(site), { method: 'POST', body: body() as BodyInit })
      const described = await describeResponse(await fetch(request))
      return [described, request.bodyUsed]
    },
  })),
  call('a stream', at, () => ({ method: 'POST', body: stream('a', 'b'), duplex: 'half' })),
  call('an empty stream', at, () => ({ method: 'POST', body: stream(), duplex: 'half' })),
  call('a stream without duplex', at, () => ({ method: 'POST', body: stream('a') })),
  call('a stream of text, which is not bytes', at, () => ({
    ...{ method: 'POST', duplex: 'half' },
    body: new ReadableStream({
      start(controller) {
        controller.enqueue('text')
        controller.close()
      },
    }),
  })),
  call('an async iterable', at, () => ({
    ...{ method: 'POST', duplex: 'half' },
    body: (async function* () {
      yield new TextEncoder().encode('one')
      yield new TextEncoder().encode('two')
    })(),
  })),
  call('a stream that fails', at, () => ({
    ...{ method: 'POST', duplex: 'half' },
    body: new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('a'))
      },
      pull: () => Promise.reject(new RangeError('mine')),
    }),
  })),
  call('a stream that is locked', at, () => {
    const body = stream('a')
    body.getReader()
    return { method: 'POST', body, duplex: 'half' }
  }),
  {
    name: 'a Request whose body was used',
    async run(fetch, site) {
      const request = new Request(at(site), { method: 'POST', body: 'text' })
      await request.text()
      return fetch(request)
    },
  },
  {
    name: 'one Request twice',
    async run(fetch, site) {
      const request = new Request(at(site), { method: 'POST', body: 'text' })
      const first = await (await fetch(request)).text()
      return [first, await fetch(request).catch(describeError)]
    },
  },
  {
    name: 'one Request without a body twice',
    async run(fetch, site) {
      const request = new Request(at(site))
      return [await (await fetch(request)).text(), await (await fetch(request, { cache: 'no-store' })).text()]
    },
  },
  {
    name: 'a clone of a Request, and then the Request',
    async run(fetch, site) {
      const request = new Request(at(site), { method: 'POST', body: 'text' })
      const clone = request.clone()
      return [await (await fetch(clone)).text(), await (await fetch(request)).text()]
    },
  },
  {
    name: 'bytes that are changed after the call',
    async run(fetch, site) {
      const body = new Uint8Array([65, 65])
      const promise = fetch(at(site), { method: 'POST', body })
      body.fill(66)
      return describeResponse(await promise)
    },
  },
  {
    name: 'a form that is changed after the call',
    async run(fetch, site) {
      const body = new FormData()
      body.append('a', '1')
      const promise = fetch(at(site), { method: 'POST', body })
      body.append('b', '2')
      return describeResponse(await promise)
    },
  },
]

const inputs: Case[] = [
  call('a Request as init', at, () => new Request('http://x', { method: 'POST', headers: { 'x-own': '1' } })),
  call('a Request with a body as init', at, () => new Request('http://x', { method: 'PUT', body: 'text' })),
  call('an init that inherits', at, () => Object.create({ method: 'POST', body: 'x', headers: { 'x-own': '1' } })),
  call('an init with getters', at, () => ({
    get method() {
      return 'PUT'
    },
    get body() {
      return 'x'
    },
  })),
  call('an init whose getter throws', at, () => ({
    get method() {
      throw new RangeError('mine')
    },
  })),
  call('headers that can be read once', at, () => ({ headers: new Map([['x-own', '1']]).entries() })),
  call('memory that is shared', at, () => ({ method: 'POST', body: new Uint8Array(new SharedArrayBuffer(4)) })),
  call('a body whose text throws', at, () => ({
    method: 'PUT',
    body: {
      toString() {
        throw new RangeError('mine')
      },
    },
  })),
  call('a signal that others have made', at, () => ({
    signal: { aborted: false, addEventListener() {}, removeEventListener() {} },
  })),
  call('a referrer of a Request', site => new Request(at(site), { referrer: `${site.origin}/page` })),
  ...[false, true].map(
    (ofRequest): Case => ({
      name: `a dispatcher of ${ofRequest ? 'a Request' : 'the init'}`,
      run(fetch, site) {
        const dispatcher = {
          dispatch() {
            throw new RangeError('mine')
          },
        }
        const init = { dispatcher } as RequestInit
        return ofRequest ? fetch(new Request(at(site), init)) : fetch(at(site), init)
      },
    }),
  ),
  call('a URL object', site => new URL(at(site))),
  call('an object with a toString', site => ({ toString: () => at(site) })),
  call('a URL with a hash', ({ origin }) => `${origin}/x#part`),
  call('a URL with spaces and umlauts', ({ origin }) => ` ${origin}/a b/ü?ö=1&x=%zz `),
  call('a URL with dots', ({ origin }) => `${origin}/a/../b/./c`),
  call('a URL with a name and a password', ({ origin }) => origin.replace('//', '//me:secret@')),
  call('a relative URL', () => '/x'),
  call('no URL', () => 'http://'),
  call('nothing', () => undefined),
  call('an empty text', () => ''),
  call('a number', () => 5),
  call('a symbol', () => Symbol('x')),
  call('an object whose toString throws', () => ({
    toString() {
      throw new RangeError('mine')
    },
  })),
  call('an unknown scheme', () => 'own:thing'),
  call('a file', () => 'file:///etc/hosts'),
  call('about:blank', () => 'about:blank'),
  call('a data URL', () => 'data:text/plain;charset=utf-8,hello%20there'),
  call('a data URL in base64', () => 'data:application/octet-stream;base64,AAECAw=='),
  call('a broken data URL', () => 'data:nothing'),
  {
    name: 'a blob URL',
    run: async fetch => describeResponse(await fetch(URL.createObjectURL(new Blob(['x'], { type: 'a/b' })))),
  },
  call('a blob URL of nothing', () => 'blob:nodedata:0000'),
  call('a port that is blocked', () => 'http://127.0.0.1:25/'),
  call('a port where nobody listens', () => 'http://127.0.0.1:9/'),
  call(
    'another origin',
    ({ elsewhere }) => `${elsewhere}/x`,
    () => ({ method: 'POST', body: 'text', headers: { authorization: 'own' } }),
  ),
  { name: 'no arguments', run: fetch => (fetch as () => unknown)() },
  { name: 'the length and name of fetch', run: fetch => [fetch.length, fetch.name] },
  call('a Request', site => new Request(at(site), { headers: { 'x-own': '1' } })),
  call(
    'a Request with an init over it',
    site => new Request(at(site), { headers: { 'x-own': '1' }, method: 'PUT', body: 'a' }),
    () => ({
      method: 'POST',
      body: 'b',
      headers: { 'x-other': '2' },
    }),
  ),
  call(
    'a Request with headers that are taken away',
    site => new Request(at(site), { headers: { 'x-own': '1' } }),
    () => ({ headers: {} }),
  ),
  call(
    'a Request with its body replaced by none',
    site => new Request(at(site), { method: 'POST', body: 'a' }),
    () => ({ body: null }),
  ),
  call(
    'a Request made a GET though it has a body',
    site => new Request(at(site), { method: 'POST', body: 'a' }),
    () => ({ method: 'GET' }),
  ),
  call('a subclass of Request', site => new (class Own extends Request {})(at(site), { method: 'POST', body: 'a' })),
  ...[
    null,
    undefined,
    5,
    'text',
    [],
    () => {},
    { headers: null },
    { headers: undefined },
    { body: undefined, method: undefined },
    { method: '' },
    { method: 'A B' },
    { method: 'CONNECT' },
    { method: 'TRACE' },
    { method: 'TRACK' },
    { method: null },
    { method: Symbol('x') },
    { mode: 'navigate' },
    { mode: 'nonsense' },
    { mode: 'same-origin' },
    { mode: 'no-cors' },
    { mode: 'no-cors', method: 'PUT' },
    { mode: 'cors' },
    { credentials: 'nonsense' },
    { credentials: 'include' },
    { credentials: 'omit' },
    { cache: 'nonsense' },
    { cache: 'no-store' },
    { cache: 'reload' },
    { cache: 'no-cache' },
    { cache: 'force-cache' },
    { cache: 'only-if-cached' },
    { redirect: 'nonsense' },
    { referrer: 'about:client' },
    { referrer: '' },
    { referrer: 'http://example.com/page?q#hash' },
    { referrer: 'http://' },
    { referrer: 'http://example.com/', referrerPolicy: 'no-referrer' },
    { referrer: 'http://example.com/page', referrerPolicy: 'unsafe-url' },
    { referrerPolicy: 'nonsense' },
    { keepalive: true },
    { window: null },
    { window: {} },
    { duplex: 'half' },
    { duplex: 'full' },
    { priority: 'high' },
    { priority: 'nonsense' },
    { signal: null },
    { signal: {} },
    { signal: 5 },
    { integrity: 'nonsense' },
    { integrity: '' },
    { dispatcher: undefined },
  ].map(init => call(`init ${show(init)}`, at, () => init)),
]

function show(init: unknown): string {
  if (typeof init !== 'object' || init === null) return String(init)
  return (
    Object.entries(init)
      .map(([name, value]) => `${name}: ${String(value)}`)
      .join(', ') || '{}'
  )
}

const HEADERS: [name: string, headers: unknown][] = [
  [
    'an array of pairs',
    [
      ['a', '1'],
      ['a', '2'],
    ],
  ],
  ['an object', { 'X-Case': 'Value', b: '' }],
  [
    'a Headers object',
    new Headers([
      ['c', '3'],
      ['c', '4'],
    ]),
  ],
  ['a Map', new Map([['m', '1']])],
  ['a triple', [['a', 'b', 'c']]],
  ['a number', 5],
  ['a text', 'text'],
  ['an empty name', { '': 'x' }],
  ['a name with a space', { 'a b': 'x' }],
  ['a name that is no ASCII', { ü: 'x' }],
  ['a value with a line break', { a: 'x\ny' }],
  ['a value with spaces around', { a: ' \t x y \t ' }],
  ['a value with a null', { a: 'x\0y' }],
  ['a value beyond Latin-1', { a: '€' }],
  ['a value in Latin-1', { a: 'ü' }],
  ['a number as value', { a: 5 }],
  ['an undefined value', { a: undefined }],
  ['cookies', { cookie: 'a=1; b=2' }],
  ['a user agent', { 'user-agent': 'own' }],
  ['an Accept of its own', { accept: 'x/y', 'accept-language': 'de', 'accept-encoding': 'identity' }],
  ['a host', { host: 'example.com' }],
  ['a connection', { connection: 'close' }],
  ['a keep-alive', { 'keep-alive': 'timeout=5' }],
  ['a transfer encoding', { 'transfer-encoding': 'chunked' }],
  ['a content length', { 'content-length': '3' }],
  ['an upgrade', { upgrade: 'own' }],
  ['an expectation', { expect: '100-continue' }],
  ['a date', { date: 'now' }],
  ['a referer', { referer: 'http://example.com/' }],
  ['an origin', { origin: 'http://example.com' }],
  ['sec and proxy fields', { 'sec-fetch-mode': 'own', 'proxy-authorization': 'x', 'sec-own': 'x' }],
  ['a range', { range: 'bytes=0-1' }],
  ['a condition', { 'if-none-match': '"a"' }],
  ['a cache control', { 'cache-control': 'no-cache', pragma: 'x' }],
  ['many fields', Object.fromEntries(Array.from({ length: 60 }, (_, index) => [`x-${index}`, String(index)]))],
]
const headers: Case[] = [
  ...HEADERS.map(([name, value]) => call(`headers: ${name}`, at, () => ({ headers: value }))),
  ...HEADERS.slice(17, 31).map(([name, value]) =>
    call(`headers of a POST: ${name}`, at, () => ({ method: 'POST', body: 'abc', headers: value })),
  ),
  {
    name: 'the headers of a response cannot be changed',
    async run(fetch, site) {
      const response = await fetch(at(site))
      try {
        response.headers.set('x-own', '1')
        return ['changed', response.headers.get('x-own')]
      } catch (error) {
        return describeError(error)
      }
    },
  },
]

const STATUSES = [
  200, 201, 202, 203, 204, 205, 206, 207, 226, 299, 300, 304, 305, 306, 400, 403, 404, 405, 406, 409, 410, 411, 413,
  415, 417, 418, 422, 426, 431, 451, 499, 500, 501, 502, 505, 511, 599,
]
const responses: Case[] = [
  ...['Accept Encoding', 'a=1', ', ,', 'accept, ü'].map(vary =>
    get(`Vary: ${vary}`, (_, response) => {
      response.writeHead(200, { vary: Buffer.from(vary).toString('latin1'), 'cache-control': 'max-age=60' })
      response.end('x')
    }),
  ),
  get('a field whose name is none', raw('HTTP/1.1 200 OK\r\nx a: 1\r\ncontent-length: 1\r\n\r\nx')),
  get('a field with spaces at its end', raw('HTTP/1.1 200 OK\r\na: \t x \t\r\ncontent-length: 1\r\n\r\nx')),
  ...STATUSES.map(status =>
    get(`status ${status}`, (_, response) => {
      response.writeHead(status, { 'content-type': 'text/plain', 'x-own': 'yes' })
      response.end(status === 204 || status === 304 || status === 205 ? undefined : `body of ${status}`)
    }),
  ),
  ...[200, 204, 404, 500].map(status =>
    get(
      `HEAD and status ${status}`,
      (_, response) => {
        response.writeHead(status, { 'content-length': '10' })
        response.end()
      },
      { method: 'HEAD' },
    ),
  ),
  get('a status text of its own', (_, response) => {
    response.writeHead(200, 'All is Well')
    response.end('x')
  }),
  get('no status text', raw('HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx')),
  get('a status text in Latin-1', raw('HTTP/1.1 200 \xfcber\r\ncontent-length: 1\r\n\r\nx')),
  get(
    'a status below 200',
    raw('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx'),
  ),
  get('100 Continue', raw('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx')),
  get('a status over 599', raw('HTTP/1.1 777 Own\r\ncontent-length: 1\r\n\r\nx')),
  get('HTTP/1.0', raw('HTTP/1.0 200 OK\r\n\r\nto the end', true)),
  get('no HTTP', raw('nonsense\r\n\r\n', true)),
  get('nothing at all', raw('', true)),
  get(
    'fields twice',
    raw('HTTP/1.1 200 OK\r\na: 1\r\na: 2\r\nset-cookie: x=1\r\nset-cookie: y=2\r\ncontent-length: 1\r\n\r\nx'),
  ),
  get('fields in Latin-1', raw('HTTP/1.1 200 OK\r\na: \xfc\r\ncontent-length: 1\r\n\r\nx')),
  get('an empty field', raw('HTTP/1.1 200 OK\r\na:\r\ncontent-length: 1\r\n\r\nx')),
  get(
    'a trailer',
    raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: t\r\n\r\n1\r\nx\r\n0\r\nt: 1\r\n\r\n'),
  ),
  get('chunks', (_, response) => {
    response.write('one ')
    setTimeout(() => response.end('two'), 5)
  }),
  get('an empty body', (_, response) => void response.end()),
  get('a large body', (_, response) => void response.end('x'.repeat(300_000))),
  get('a body that is cut short', raw('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ncut', true)),
  get('chunks that are cut short', raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab', true)),
  get('a broken chunk', raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n', true)),
  get('more than its length', raw('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabcd', true)),
  ...(
    [
      ['gzip', gzipSync('packed')],
      ['x-gzip', gzipSync('packed')],
      ['deflate', deflateSync('packed')],
      ['deflate', deflateRawSync('packed raw')],
      ['br', brotliCompressSync('packed')],
      ['gzip, br', brotliCompressSync(gzipSync('packed twice'))],
      ['GZIP', gzipSync('packed')],
      ['own', Buffer.from('packed?')],
      ['identity', Buffer.from('plain')],
      ['gzip', Buffer.from('not packed')],
      ['gzip', gzipSync('cut off in the middle of it').subarray(0, 20)],
      ['gzip', Buffer.alloc(0)],
    ] as const
  ).map(([encoding, body], index) =>
    get(`content encoding ${encoding} (${index})`, (_, response) => {
      response.writeHead(200, { 'content-encoding': encoding })
      response.end(body)
    }),
  ),
  ...(['json', 'formData', 'blob', 'text', 'arrayBuffer'] as const).flatMap(method =>
    (
      [
        ['application/json', '{"a": [1, 2]}'],
        ['application/json', '{nonsense'],
        ['application/x-www-form-urlencoded', 'a=1&a=2&b=%C3%BC'],
        ['multipart/form-data; boundary=b', '--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'],
        ['text/plain; charset=utf-8', '\uFEFFmarked'],
        ['', ''],
      ] as const
    ).map(
      ([type, body], index): Case => ({
        name: `${method}() of ${type || 'nothing'} (${index})`,
        async run(fetch, site) {
          const value: unknown = await (await fetch(at(site)))[method]()
          if (value instanceof FormData) return [...value]
          if (value instanceof Blob) return [value.type, value.size, await value.text()]
          return value instanceof ArrayBuffer ? value.byteLength : value
        },
        serve(_, response) {
          if (type) response.setHeader('content-type', type)
          response.end(body)
        },
      }),
    ),
  ),
]

/** What goes over the wire, byte for byte. */
function raw(text: string, end = false): Handler {
  return (_, response) => {
    const { socket } = response
    socket!.write(Buffer.from(text, 'latin1'))
    if (end) socket!.end()
    // The server must not write anything of its own.
    response.detachSocket(socket!)
  }
}

const REDIRECTS = [301, 302, 303, 307, 308]
const to =
  (status: number, location: (host: string) => string | undefined): Handler =>
  (request, response) => {
    if (request.url !== '/x?q=1' && request.url !== '/x') return response.end(`arrived at ${request.url}`)
    const target = location(request.headers.host!)
    if (target !== undefined) response.setHeader('location', target)
    response.writeHead(status, { 'x-hop': '1' })
    response.end('moved')
  }
const away: Handler = (request, response) => {
  const target = new URL(request.url!, 'http://x').searchParams.get('to')
  if (target) response.writeHead(302, { location: `${target}/there` })
  response.end('there')
}
const redirects: Case[] = [
  ...REDIRECTS.flatMap(status =>
    [
      ['GET', undefined],
      ['HEAD', undefined],
      ['POST', 'body'],
      ['PUT', 'body'],
      ['DELETE', undefined],
    ].flatMap(([method, body]) =>
      (['follow', 'manual', 'error'] as const).map(redirect =>
        call(
          `${status} of ${method}, ${redirect}`,
          at,
          () => ({ method, body, redirect, headers: { 'content-type': 'x/y', 'x-own': '1' } }),
          to(status, () => '/there'),
        ),
      ),
    ),
  ),
  ...(
    [
      ['absolute', (host: string) => `http://${host}/there`],
      ['without a scheme', (host: string) => `//${host}/there`],
      ['only a query', () => '?other'],
      ['with a hash', () => '/there#own'],
      ['empty', () => ''],
      ['missing', () => undefined],
      ['in UTF-8', () => Buffer.from('/ü').toString('latin1')],
      ['nonsense', () => 'http://['],
      ['of another scheme', () => 'own:thing'],
      ['a data URL', () => 'data:,x'],
      ['with a name and a password', (host: string) => `http://me:secret@${host}/there`],
      ['to where nobody listens', () => 'http://127.0.0.1:9/'],
    ] as const
  ).flatMap(([name, location]) => [
    call(`a location that is ${name}`, at, undefined, to(302, location)),
    call(`a location that is ${name}, from a hash`, site => `${at(site)}#from`, undefined, to(302, location)),
  ]),
  ...([0, 1, 19, 20, 21] as const).map(hops =>
    call(
      `${hops} redirects`,
      ({ origin }) => `${origin}/${hops}`,
      undefined,
      (request, response) => {
        const left = Number(request.url!.slice(1))
        if (left === 0) return response.end('arrived')
        response.writeHead(302, { location: `/${left - 1}` })
        return response.end()
      },
    ),
  ),
  call(
    'same-origin to another origin',
    ({ origin, elsewhere }) => `${origin}/?to=${elsewhere}`,
    () => ({ mode: 'same-origin' }),
    away,
  ),
  call(
    'a referrer policy on the way',
    at,
    () => ({ referrer: 'http://example.com/a?q' }),
    (request, response) => {
      if (request.url === '/there') return response.end('x')
      response.writeHead(302, { location: '/there', 'referrer-policy': 'nonsense, origin' })
      return response.end()
    },
  ),
  {
    name: 'a Request whose body is a stream, and 307',
    run: async (fetch, site) =>
      describeResponse(await fetch(new Request(at(site), { method: 'POST', body: 'text', keepalive: true }))),
    serve: to(307, () => '/there'),
  },
  call('a loop', at, undefined, (_, response) => {
    response.writeHead(307, { location: '/x?q=1' })
    response.end()
  }),
  ...[301, 303, 307].map(status =>
    call(
      `a stream and ${status}`,
      at,
      () => ({ method: 'POST', body: stream('a'), duplex: 'half' }),
      to(status, () => '/there'),
    ),
  ),
  ...[302, 307].map(
    (status): Case => ({
      name: `${status} of a Request with a body`,
      run: async (fetch, site) =>
        describeResponse(await fetch(new Request(at(site), { method: 'POST', body: 'text' }))),
      serve: to(status, () => '/there'),
    }),
  ),
  ...(['POST', 'GET'] as const).map(
    (method): Case => ({
      name: `${method} to another origin and what is left behind`,
      run: async (fetch, { elsewhere, origin }) => {
        const init = {
          method,
          headers: { cookie: 'a=1', 'x-own': '1', 'proxy-authorization': 'p' },
          ...(method === 'POST' && { body: 'x' }),
        }
        return describeResponse(await fetch(`${origin}/go?to=${encodeURIComponent(elsewhere)}`, init))
      },
      serve(request, response) {
        const target = new URL(request.url!, 'http://x').searchParams.get('to')
        if (!target) return response.end('there')
        response.writeHead(307, { location: `${target}/there` })
        return response.end()
      },
    }),
  ),
  call(
    'an empty referrer policy on the way',
    at,
    () => ({ referrer: 'http://example.com/a/b' }),
    (request, response) => {
      if (request.url === '/there') return response.end('x')
      response.writeHead(302, { location: '/there', 'referrer-policy': 'no-referrer' })
      return response.end()
    },
  ),
]

const slow: Handler = (request, response) => {
  if (request.url === '/silent') return
  response.write('first ')
}
const reasons: [name: string, reason: unknown[]][] = [
  ['no reason', []],
  ['a reason of undefined', [undefined]],
  ['an error', [new RangeError('mine')]],
  ['a text', ['mine']],
  ['null', [null]],
]
const aborts: Case[] = [
  ...reasons.flatMap(([name, reason]): Case[] => [
    {
      name: `aborted before, with ${name}`,
      run(fetch, site) {
        const controller = new AbortController()
        controller.abort(...reason)
        return fetch(at(site), { signal: controller.signal })
      },
    },
    {
      name: `a Request aborted before, with ${name}`,
      run(fetch, site) {
        const controller = new AbortController()
        const request = new Request(at(site), { signal: controller.signal })
        controller.abort(...reason)
        return fetch(request)
      },
    },
    {
      name: `aborted while waiting, with ${name}`,
      run(fetch, { origin }) {
        const controller = new AbortController()
        setTimeout(() => controller.abort(...reason), 250)
        return fetch(`${origin}/silent`, { signal: controller.signal })
      },
      serve: slow,
    },
    {
      name: `aborted while a POST waits, with ${name}`,
      run(fetch, { origin }) {
        const controller = new AbortController()
        setTimeout(() => controller.abort(...reason), 250)
        return fetch(`${origin}/silent`, { method: 'POST', body: 'x', signal: controller.signal })
      },
      serve: slow,
    },
    {
      name: `aborted in the body, with ${name}`,
      async run(fetch, site) {
        const controller = new AbortController()
        const response = await fetch(at(site), { signal: controller.signal })
        const reader = response.body!.getReader()
        const { value } = await reader.read()
        controller.abort(...reason)
        const rest = await reader.read().catch(describeError)
        return [Buffer.from(value!).toString(), rest, await reader.closed.catch(describeError)]
      },
      serve: slow,
    },
    {
      name: `aborted while text() waits, with ${name}`,
      async run(fetch, site) {
        const controller = new AbortController()
        const response = await fetch(at(site), { signal: controller.signal })
        setTimeout(() => controller.abort(...reason), 30)
        return [await response.text().catch(describeError), response.bodyUsed]
      },
      serve: slow,
    },
    {
      name: `aborted after the end, with ${name}`,
      async run(fetch, site) {
        const controller = new AbortController()
        const response = await fetch(at(site), { signal: controller.signal })
        const text = await response.text()
        controller.abort(...reason)
        return [text, response.bodyUsed]
      },
    },
  ]),
  {
    name: 'AbortSignal.timeout',
    run: (fetch, { origin }) => fetch(`${origin}/silent`, { signal: AbortSignal.timeout(30) }),
    serve: slow,
  },
  {
    name: 'the signal of a Request, and another in the init',
    run(fetch, { origin }) {
      const [one, two] = [new AbortController(), new AbortController()]
      setTimeout(() => two.abort('two'), 30)
      return fetch(new Request(`${origin}/silent`, { signal: one.signal }), { signal: two.signal })
    },
    serve: slow,
  },
  {
    name: 'the signal of a Request taken away by null',
    async run(fetch, site) {
      const controller = new AbortController()
      const request = new Request(at(site), { signal: controller.signal })
      controller.abort()
      return fetch(request, { signal: null }).then(response => response.text())
    },
  },
  {
    name: 'aborted while a stream is sent',
    run(fetch, { origin }) {
      const controller = new AbortController()
      setTimeout(() => controller.abort('mine'), 30)
      const body = new ReadableStream({ pull: each => pause(5).then(() => each.enqueue(new Uint8Array(10))) })
      return fetch(`${origin}/silent`, { method: 'POST', body, duplex: 'half', signal: controller.signal } as Init)
    },
    serve: slow,
  },
]

const bodies: Case[] = [
  {
    name: 'a byte reader',
    async run(fetch, site) {
      const reader = (await fetch(at(site))).body!.getReader({ mode: 'byob' })
      const { value, done } = await reader.read(new Uint8Array(3))
      return [Buffer.from(value!).toString(), done, await reader.cancel()]
    },
  },
  {
    name: 'a body that is cancelled',
    async run(fetch, site) {
      const response = await fetch(at(site))
      await response.body!.cancel('enough')
      return [response.bodyUsed, await response.text().catch(describeError)]
    },
  },
  {
    name: 'a body that is teed',
    async run(fetch, site) {
      const [one, two] = (await fetch(at(site))).body!.tee()
      return [await new Response(one).text(), await new Response(two).text()]
    },
  },
  {
    name: 'a body that is piped',
    async run(fetch, site) {
      const piped = (await fetch(at(site))).body!.pipeThrough(new TextDecoderStream())
      let text = ''
      for await (const chunk of piped) text += chunk
      return text
    },
  },
  {
    name: 'a body that is iterated',
    async run(fetch, site) {
      let size = 0
      for await (const chunk of (await fetch(at(site))).body!) size += chunk.byteLength
      return size
    },
  },
  {
    name: 'a clone of what was read',
    async run(fetch, site) {
      const response = await fetch(at(site))
      await response.text()
      return response.clone()
    },
  },
  {
    name: 'a clone of what is locked',
    async run(fetch, site) {
      const response = await fetch(at(site))
      response.body!.getReader()
      return [response.bodyUsed, await response.json().catch(describeError), describeClone(response)]
    },
  },
  {
    name: 'a clone of a clone, read in another order',
    async run(fetch, site) {
      const response = await fetch(at(site))
      const clone = response.clone()
      const third = clone.clone()
      return [await third.text(), await response.text(), await clone.text(), third.url, third.type, third.redirected]
    },
  },
  {
    name: 'a response in a response',
    async run(fetch, site) {
      const response = await fetch(at(site))
      const made = new Response(response.body, response)
      return [made.status, made.url, await made.text(), response.bodyUsed]
    },
  },
  {
    name: 'what can be listed of a response',
    async run(fetch, site) {
      const response = await fetch(at(site))
      return [Object.keys(response), JSON.stringify(response), { ...response }, response.constructor === Response]
    },
  },
  {
    name: 'an integrity that fits, after a redirect',
    async run(fetch, site) {
      const { createHash } = await import('node:crypto')
      const integrity = `sha384-${createHash('sha384').update('arrived at /there').digest('base64')}`
      return describeResponse(await fetch(at(site), { integrity }))
    },
    serve: to(302, () => '/there'),
  },
  {
    name: 'what structuredClone says of a response',
    async run(fetch, site) {
      return structuredClone(await fetch(at(site)))
    },
  },
  {
    name: 'an integrity that fits',
    async run(fetch, site) {
      const { createHash } = await import('node:crypto')
      const integrity = `sha256-${createHash('sha256').update('plain').digest('base64')}`
      return describeResponse(await fetch(at(site), { integrity }))
    },
  },
  {
    name: 'an integrity that does not fit',
    run: (fetch, site) => fetch(at(site), { integrity: 'sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' }),
  },
  {
    name: 'an integrity that does not fit, after a redirect',
    run: (fetch, site) => fetch(at(site), { integrity: 'sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' }),
    serve: to(302, () => '/there'),
  },
  {
    name: 'many at once',
    inAnyOrder: true,
    async run(fetch, { origin }) {
      return Promise.all(
        Array.from({ length: 30 }, async (_, index) =>
          (await fetch(`${origin}/${index % 10}`, { method: 'POST' })).text(),
        ),
      )
    },
    serve: (request, response) => void response.end(request.url),
  },
]

function describeClone(response: Response): unknown {
  try {
    return response.clone().status
  } catch (error) {
    return describeError(error)
  }
}

export const CASES: readonly (readonly [area: string, cases: readonly Case[]])[] = [
  ['methods and bodies', methodsAndBodies],
  ['what is asked', inputs],
  ['headers', headers],
  ['responses', responses],
  ['redirects', redirects],
  ['aborts', aborts],
  ['bodies of responses', bodies],
]
