import { request } from 'node:http'
import { gzipSync } from 'node:zlib'
import { wrapFetch } from 'fetch-keypool'
import { withPolicies } from 'fetch-keypool/gateway'
import { describe, expect, it } from 'vitest'
import { gateway } from '../helpers/gateway.js'
import { loopback } from '../helpers/loopback.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const dear = '{"model":"dear","input":"x"}'
const part = (name: string, value: string) => `--b\r\nContent-Disposition: form-data; ${name}\r\n\r\n${value}\r\n`
const policies = [{ name: 'models', allow: { models: ['cheap', 'cheap-*'] } }]

/** One request, sent as it is: whole, or in chunks. */
function send(url: string, headers: Record<string, string>, body: string | Buffer, chunked = false): Promise<number> {
  return new Promise((resolve, reject) => {
    const framing = chunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(Buffer.byteLength(body)) }
    const sent = request(url, { method: 'POST', headers: { ...headers, ...framing }, agent: false }, answer => {
      answer.resume().on('end', () => resolve(answer.statusCode!))
    })
    sent.on('error', reject)
    sent.write(body.slice(0, 1))
    sent.end(body.slice(1))
  })
}

describe('a list of models', () => {
  it.each<[string, string, Record<string, string>, string]>([
    ['by name', '/v1/x', JSON_TYPE, '{"model":"cheap"}'],
    ['by a pattern', '/v1/x', JSON_TYPE, '{"model":"cheap-2"}'],
    ['with a charset', '/v1/x', { 'content-type': 'application/json; charset=UTF-8' }, '{"model":"cheap"}'],
    ['by escapes', '/v1/x', JSON_TYPE, '{"mod\\u0065l":"chea\\u0070"}'],
    ['with others to fall back on that are listed too', '/v1/x', JSON_TYPE, '{"model":"cheap","models":["cheap-2"]}'],
    [
      'beside a model within what is only a text',
      '/v1/x',
      JSON_TYPE,
      '{"model":"cheap","messages":[{"content":"\\"model\\":\\"dear\\""}]}',
    ],
    [
      'whose own members have that name',
      '/v1/x',
      JSON_TYPE,
      '{"model":"cheap","messages":[{"input":{"model":"Ford"}}]}',
    ],
  ])('lets a request pass that names one %s', async (_, path, headers, body) => {
    const server = await loopback(() => ({ body: '{}' }))
    const { url } = await gateway({ routes: { '/ai': { upstream: server.url, keys: ['key-one-0001'] } }, policies })
    expect(await send(`${url}/ai${path}`, headers, body)).toBe(200)
    expect(server.received[0]!.body).toBe(body)
  })

  it.each<[string, string, Record<string, string>, string | Buffer, boolean?]>([
    ['another', '/v1/x', JSON_TYPE, dear],
    ['none', '/v1/x', JSON_TYPE, '{"input":"x"}'],
    ['none, with one in the query', '/v1/x?model=cheap', JSON_TYPE, '{"input":"x"}'],
    ['none, with one in the path', '/models/cheap', JSON_TYPE, '{"input":"x"}'],
    ['one in the body and another in the query', '/v1/x?model=dear', JSON_TYPE, '{"model":"cheap"}'],
    ['one in the body and another in the path', '/v1/models/dear:generate', JSON_TYPE, '{"model":"cheap"}'],
    ['another in an encoded path', '/v1/%6dodels/dear:generate', JSON_TYPE, '{"model":"cheap"}'],
    ['another in a path encoded twice', '/v1/%256dodels/dear:generate', JSON_TYPE, '{"model":"cheap"}'],
    ['one in chunks', '/v1/x?model=cheap', JSON_TYPE, '{"model":"cheap"}', true],
    [
      'one in more than 1 MiB',
      '/v1/x?model=cheap',
      JSON_TYPE,
      JSON.stringify({ model: 'cheap', x: 'x'.repeat(1.1e6) }),
    ],
    ['one in UTF-16', '/v1/x', JSON_TYPE, Buffer.from('\ufeff{"model":"cheap"}', 'utf16le')],
    [
      'one in a charset of its own',
      '/v1/x',
      { 'content-type': 'application/json; charset=utf-7' },
      '{"model":"cheap"}',
    ],
    ['one behind a mark of order', '/v1/x', JSON_TYPE, '\ufeff{"model":"cheap"}'],
    ['one in no UTF-8', '/v1/x', JSON_TYPE, Buffer.from([...Buffer.from('{"model":"cheap","x":"'), 0xff, 0x22, 0x7d])],
    ['one that is packed', '/v1/x', { ...JSON_TYPE, 'content-encoding': 'gzip' }, gzipSync('{"model":"cheap"}')],
    [
      'one that is said to be packed',
      '/v1/x',
      { ...JSON_TYPE, 'content-encoding': 'br, identity' },
      '{"model":"cheap"}',
    ],
    ['one in a form', '/v1/x', { 'content-type': 'application/x-www-form-urlencoded' }, 'model=cheap'],
    [
      'one in JSON that is said to be a form',
      '/v1/x',
      { 'content-type': 'application/x-www-form-urlencoded' },
      '{"model":"cheap"}',
    ],
    [
      'one in parts',
      '/v1/x',
      { 'content-type': 'multipart/form-data; boundary=b' },
      `${part('name="model"', 'cheap')}--b--\r\n`,
    ],
    ['one in XML', '/v1/x', { 'content-type': 'application/xml' }, '<model>cheap</model>'],
    ['one twice', '/v1/x', JSON_TYPE, '{"model":"cheap","model":"cheap"}'],
    ['one, and another by escapes', '/v1/x', JSON_TYPE, '{"model":"cheap","mod\\u0065l":"dear"}'],
    ['one, and another in capitals', '/v1/x', JSON_TYPE, '{"model":"cheap","Model":"dear"}'],
    ['one, and another in wide letters', '/v1/x', JSON_TYPE, '{"model":"cheap","ｍodel":"dear"}'],
    ['one, and another with a blank', '/v1/x', JSON_TYPE, '{"model":"cheap","model ":"dear"}'],
    ['one, and another by a synonym', '/v1/x', JSON_TYPE, '{"model":"cheap","deployment_id":"dear"}'],
    ['one, and others to fall back on', '/v1/x', JSON_TYPE, '{"model":"cheap","models":["dear"]}'],
    ['one, and a tool with another', '/v1/x', JSON_TYPE, '{"model":"cheap","tools":[{"model":"dear"}]}'],
    ['one, and a prototype', '/v1/x', JSON_TYPE, '{"model":"cheap","__proto__":{"model":"dear"}}'],
    ['one in a prototype', '/v1/x', JSON_TYPE, '{"__proto__":{"model":"cheap"}}'],
    ['one in a list', '/v1/x', JSON_TYPE, '[{"model":"cheap"}]'],
    ['one as a list', '/v1/x', JSON_TYPE, '{"model":["cheap"]}'],
    ['one in two documents', '/v1/x', JSON_TYPE, `{"model":"cheap"}${dear}`],
    ['one in lines', '/v1/x', { 'content-type': 'application/x-ndjson' }, `{"model":"cheap"}\n${dear}`],
    ['one with a comment', '/v1/x', JSON_TYPE, '{"model":"cheap"/*,"model":"dear"*/}'],
    ['one that is too long', '/v1/x', JSON_TYPE, JSON.stringify({ model: `cheap-${'x'.repeat(300)}` })],
    ['another behind a list of many', '/v1/x', JSON_TYPE, JSON.stringify({ model: `ft:${':team:'.repeat(20_000)}` })],
  ])('stops a request that names %s', async (_, path, headers, body, chunked) => {
    const server = await loopback(() => ({ body: '{}' }))
    const { url } = await gateway({ routes: { '/ai': { upstream: server.url, keys: ['key-one-0001'] } }, policies })
    expect(await send(`${url}/ai${path}`, headers, body, chunked)).toBe(403)
    expect(server.received).toEqual([])
  })

  it.each([
    ['gemini', '/v1beta/models/cheap:generateContent', '/v1beta/models/dear:generateContent'],
    ['azure-openai', '/openai/deployments/cheap/chat/completions', '/openai/deployments/dear/chat/completions'],
    ['aws', '/model/cheap/converse', '/model/dear/converse'],
    ['huggingface', '/models/cheap', '/models/dear'],
  ] as const)('takes the word of the path where that is %s’s own', async (provider, good, bad) => {
    const server = await loopback(() => ({ body: '{}' }))
    const { url } = await gateway({
      routes: { '/ai': { provider, upstream: server.url, origins: server.url, keys: ['key-one-0001'] } },
      policies,
    })
    expect(await send(`${url}/ai${good}`, JSON_TYPE, '{"x":1}', true)).toBe(200)
    expect(await send(`${url}/ai${good.replace('cheap', '%63heap')}`, JSON_TYPE, '{"x":1}')).toBe(200)
    expect(await send(`${url}/ai${bad}`, JSON_TYPE, '{"x":1}')).toBe(403)
    expect(await send(`${url}/ai${bad}?model=cheap`, JSON_TYPE, '{"model":"cheap"}')).toBe(403)
    expect(await send(`${url}/ai${good}`, JSON_TYPE, '{"model":"dear"}')).toBe(403)
    expect(await send(`${url}/ai/elsewhere`, JSON_TYPE, '{"x":1}')).toBe(403)
  })

  it('lets through what only reads', async () => {
    const server = await loopback(() => ({ body: '{}' }))
    const { url } = await gateway({ routes: { '/ai': { upstream: server.url, keys: ['key-one-0001'] } }, policies })
    const status = async (path: string) => (await fetch(`${url}/ai${path}`)).status
    expect([await status('/v1/models'), await status('/v1/models/cheap'), await status('/v1/models/dear')]).toEqual([
      200, 200, 403,
    ])
    expect(await status('/generate?model=dear')).toBe(403)
  })
})

describe('policies in code look at what is sent', () => {
  const big = 'x'.repeat(2_000)
  const stream = (text: string) => new Response(text).body!
  const form = new FormData()
  form.set('model', 'cheap')
  form.set('pad', big)
  const post = (body: unknown, others: object = {}) =>
    ({
      method: 'POST',
      headers: JSON_TYPE,
      body,
      ...(body instanceof ReadableStream ? { duplex: 'half' } : {}),
      ...others,
    }) as RequestInit

  function policed(policy: Parameters<typeof withPolicies>[1][number]) {
    const sent: Request[] = []
    const fetch = wrapFetch(
      async (input, init) => {
        const request = new Request(input, init)
        await request.clone().arrayBuffer()
        sent.push(request)
        return new Response('{}')
      },
      { origins: 'http://a.test', keys: ['key-one'], cache: false, retry: false },
    )
    return { fetch: withPolicies(fetch, [policy]), sent }
  }

  it.each<[string, string | Request, RequestInit?]>([
    ['a text', 'http://a.test/x', post(dear)],
    ['bytes', 'http://a.test/models/cheap', post(new TextEncoder().encode(dear))],
    ['a blob', 'http://a.test/x', post(new Blob([dear]))],
    ['a stream', 'http://a.test/x?model=cheap', post(stream('{"model":"cheap"}'))],
    ['a form', 'http://a.test/x', { method: 'POST', body: form }],
    ['parameters', 'http://a.test/models/cheap', { method: 'POST', body: new URLSearchParams({ model: 'cheap' }) }],
    ['a Request', new Request('http://a.test/x', post(dear))],
    [
      'a Request, with another body beside it',
      new Request('http://a.test/x', post('{"model":"cheap"}')),
      { body: dear },
    ],
    ['the query of a GET', 'http://a.test/generate?model=dear'],
  ])('models: %s', async (_, input, init) => {
    const { fetch, sent } = policed({ name: 'm', allow: { models: ['cheap'] } })
    expect((await fetch(input, init)).status).toBe(403)
    expect(sent).toEqual([])
  })

  it.each<[string, unknown]>([
    ['a text', '{"model":"cheap"}'],
    ['bytes', new TextEncoder().encode('{"model":"cheap"}')],
    ['a blob', new Blob(['{"model":"cheap"}'])],
  ])('and send it as it was: %s', async (_, body) => {
    const { fetch, sent } = policed({ name: 'm', allow: { models: ['cheap'] } })
    expect((await fetch('http://a.test/x', post(body))).status).toBe(200)
    expect(await sent[0]!.text()).toBe('{"model":"cheap"}')
    expect((await fetch(new Request('http://a.test/x', post(body)))).status).toBe(200)
    expect(await sent[1]!.text()).toBe('{"model":"cheap"}')
  })

  it.each<[string, () => [string | Request, RequestInit?]]>([
    ['a text', () => ['http://a.test/x', post(big)]],
    ['bytes', () => ['http://a.test/x', post(new TextEncoder().encode(big))]],
    ['a blob', () => ['http://a.test/x', post(new Blob([big]))]],
    ['a stream', () => ['http://a.test/x', post(stream(big))]],
    ['a form', () => ['http://a.test/x', { method: 'POST', body: form }]],
    ['parameters', () => ['http://a.test/x', { method: 'POST', body: new URLSearchParams({ big }) }]],
    ['a Request', () => [new Request('http://a.test/x', post(big))]],
    ['a Request of a stream', () => [new Request('http://a.test/x', post(stream(big)))]],
  ])('sizes: %s', async (_, make) => {
    const { fetch, sent } = policed({ name: 'b', maxBody: '1kb' })
    expect((await fetch(...make())).status).toBe(413)
    expect(sent).toEqual([])
  })

  it.each<[string, string | Request]>([
    ['a step up', 'http://a.test/pub/../priv'],
    ['an encoded one', 'http://a.test/pub/..%2fpriv'],
    ['one with parameters', 'http://a.test/pub/..;/priv'],
    ['another method of a Request', new Request('http://a.test/pub/x', { method: 'DELETE' })],
  ])('paths and methods: %s', async (_, input) => {
    const { fetch, sent } = policed({ name: 'p', allow: { paths: ['/pub/*'], methods: ['GET'] } })
    expect((await fetch(input)).status).toBeGreaterThanOrEqual(400)
    expect(sent).toEqual([])
  })

  it('an object that says another URL each time is none', async () => {
    const { fetch, sent } = policed({ name: 'p', allow: { paths: ['/pub/*'] } })
    let count = 0
    const shifty = { toString: () => (count++ === 0 ? 'http://a.test/pub/x' : 'http://a.test/priv') }
    await expect(fetch(shifty as never)).rejects.toThrow(TypeError)
    expect(sent).toEqual([])
  })
})
