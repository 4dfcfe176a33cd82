import { get, type ServerResponse } from 'node:http'
import { wrapFetch } from 'fetch-keypool'
import { hashToken, type PolicyConfig, withPolicies } from 'fetch-keypool/gateway'
import { describe, expect, it, vi } from 'vitest'
import { callerAddress, ranges } from '../../src/gateway/proxy/address.js'
import { gateway } from '../helpers/gateway.js'
import { loopback, type Reply } from '../helpers/loopback.js'

async function behind(
  policies: PolicyConfig[],
  reply: (body: string) => Reply | Promise<Reply> = () => ({ body: 'fine' }),
  more = {},
) {
  const server = await loopback(({ body }) => reply(body))
  const made = await gateway({
    policies,
    routes: { '/api': { upstream: server.url, keys: ['k1'], cache: false } },
    ...more,
  })
  const ask = (path = '/x', init: RequestInit = {}) => fetch(`${made.url}/api${path}`, init)
  return { server, ask, url: made.url, made }
}
const as = (token: string): RequestInit => ({ headers: { authorization: `Bearer ${token}` } })
const post = (body: unknown, init: RequestInit = {}): RequestInit => ({
  method: 'POST',
  body: JSON.stringify(body),
  ...init,
})
const tokens = (...ids: string[]): PolicyConfig => ({
  name: 'callers',
  authentication: { tokens: ids.map(id => ({ id, hash: hashToken(`token-${id}`) })) },
})

describe('authentication', () => {
  it('lets in who shows a token that is known, wherever SDKs put it', async () => {
    const { ask, server } = await behind([tokens('one', 'two')])
    for (const headers of [
      { authorization: 'Bearer token-one' },
      { 'x-api-key': 'token-two' },
      { 'api-key': 'token-one' },
      { 'x-goog-api-key': 'token-one' },
      { authorization: `Basic ${btoa('user:token-two')}` },
    ]) {
      expect((await ask('/x', { headers: headers as unknown as Record<string, string> })).status).toBe(200)
    }
    expect((await ask('/x?key=token-one')).status).toBe(200)
    expect(JSON.stringify(server.received)).not.toContain('token-')
  })

  it.each([[{}], [as('wrong')], [as(hashToken('token-one'))], [as('')]])(
    'refuses %j with a problem that names the policy, and no secret',
    async init => {
      const { ask, server } = await behind([tokens('one')])
      const answer = await ask('/x', init)
      expect([answer.status, answer.headers.get('content-type')]).toEqual([401, 'application/problem+json'])
      expect(answer.headers.get('www-authenticate')).toContain('Bearer')
      const text = await answer.text()
      expect(JSON.parse(text)).toMatchObject({
        status: 401,
        policy: 'callers',
        type: 'urn:fetch-keypool:unauthenticated',
      })
      expect(text).not.toMatch(/sha256|one/)
      expect(server.received).toEqual([])
    },
  )

  it('refuses tokens that have expired, and those of other routes', async () => {
    const { ask } = await behind([
      {
        name: 'callers',
        authentication: {
          tokens: [
            { id: 'old', hash: hashToken('old'), expiresAt: '2020-01-01' },
            { id: 'other', hash: hashToken('other'), routes: ['/elsewhere'] },
            { id: 'good', hash: hashToken('good'), expiresAt: '2999-01-01', routes: ['/api'] },
          ],
        },
      },
    ])
    expect(
      (await Promise.all(['old', 'other', 'good'].map(token => ask('/x', as(token))))).map(({ status }) => status),
    ).toEqual([401, 403, 200])
  })
})

describe('addresses', () => {
  it.each([
    [{ allow: ['127.0.0.0/8'] }, 200],
    [{ allow: ['10.0.0.0/8', '::1'] }, 403],
    [{ deny: ['127.0.0.1'] }, 403],
    [{ allow: ['127.0.0.0/8'], deny: ['127.0.0.0/30'] }, 403],
  ])('%j: %i', async (config, status) => {
    const { ask } = await behind([{ name: 'where', addresses: config }])
    expect((await ask()).status).toBe(status)
  })

  it('are those that trusted proxies tell, and no others', () => {
    const trusted = ranges(['10.0.0.0/8', '::1'])
    expect(callerAddress('9.9.9.9', '1.1.1.1', trusted)).toBe('9.9.9.9')
    expect(callerAddress('10.0.0.1', '1.1.1.1', trusted)).toBe('1.1.1.1')
    expect(callerAddress('10.0.0.1', '6.6.6.6, 1.1.1.1, 10.9.9.9', trusted)).toBe('1.1.1.1')
    expect(callerAddress('::ffff:10.0.0.1', '::ffff:1.1.1.1', trusted)).toBe('1.1.1.1')
    for (const nobody of ['nonsense', '', '1.1.1.1, nonsense']) {
      expect(callerAddress('10.0.0.1', nobody, trusted)).toBe('unknown')
    }
    expect(callerAddress('10.0.0.1', '1.1.1.1:4711', trusted)).toBe('1.1.1.1')
    expect(callerAddress('10.0.0.1', '[2001:db8::1]:443', trusted)).toBe('2001:db8::1')
    expect(callerAddress('::1', undefined, trusted)).toBe('::1')
  })
})

describe('limits of callers', () => {
  it('are each one’s own, told in the IETF’s fields, and refuse with Retry-After', async () => {
    const limit: PolicyConfig = { name: 'fair', rateLimit: { requests: 2, per: '1m' } }
    const { ask, server } = await behind([tokens('one', 'two'), limit])
    const first = await ask('/x', as('token-one'))
    expect(first.headers.get('ratelimit-policy')).toBe('"fair";q=2;w=60')
    expect(first.headers.get('ratelimit')).toMatch(/^"fair";r=1;t=\d+$/)
    expect((await ask('/x', as('token-one'))).status).toBe(200)
    const refused = await ask('/x', as('token-one'))
    expect([refused.status, refused.headers.get('ratelimit')]).toEqual([
      429,
      expect.stringMatching(/^"fair";r=0;t=\d+$/),
    ])
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50)
    expect(await refused.json()).toMatchObject({ policy: 'fair', type: 'urn:fetch-keypool:rate-limit' })
    expect((await ask('/x', as('token-two'))).status).toBe(200)
    expect(server.received).toHaveLength(3)
  })

  it('of tokens count what answers say that they took', async () => {
    const reply = () => ({ headers: { 'content-type': 'application/json' }, body: '{"usage":{"total_tokens":80}}' })
    const { ask } = await behind([{ name: 'tokens', rateLimit: { tokens: 100, per: '1h', by: 'all' } }], reply)
    const statuses: number[] = []
    for (let count = 0; count < 3; count++) {
      const answer = await ask('/x', post({}))
      await answer.text()
      statuses.push(answer.status)
    }
    expect(statuses).toEqual([200, 200, 429])
  })

  it('of tokens count what is packed for those who ask for that, and what a stream has told before its caller went', async () => {
    const packed = (): Reply => ({
      headers: { 'content-type': 'application/json' },
      body: '{"usage":{"total_tokens":80}}',
    })
    const limit: PolicyConfig = { name: 'tokens', budget: { tokens: 100, per: 'day', by: 'all' } }
    const first = await behind([limit], packed)
    await (await first.ask('/x', { headers: { 'accept-encoding': 'gzip, br' } })).text()
    expect(first.server.received[0]!.headers['accept-encoding']).toBe('identity')
    const stream = () => (response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: {"usage":{"input_tokens":900}}\n\n')
    }
    const second = await behind([limit], stream as never)
    const gone = new AbortController()
    const answer = await second.ask('/x', { signal: gone.signal })
    await answer.body!.getReader().read()
    gone.abort()
    await vi.waitFor(async () => expect((await second.ask('/x')).status).toBe(429))
  })

  it('of requests at once end with the answer, or when the caller goes', async () => {
    let release = () => {}
    const held = new Promise<void>(resolve => {
      release = resolve
    })
    const reply = async (): Promise<Reply> => {
      await held
      return { body: 'x' }
    }
    const { ask, server } = await behind([{ name: 'few', rateLimit: { concurrency: 1 } }], reply)
    const gone = new AbortController()
    const first = ask('/x', { signal: gone.signal }).catch(() => 'gone')
    await vi.waitFor(() => expect(server.received).toHaveLength(1))
    expect((await ask()).status).toBe(429)
    gone.abort()
    expect(await first).toBe('gone')
    await vi.waitFor(async () => {
      const second = ask()
      release()
      expect((await second).status).toBe(200)
    })
  })

  it('budgets hold for a day, and refuse by name', async () => {
    const { ask } = await behind([{ name: 'daily', budget: { requests: 2, per: 'day', by: 'route' } }])
    const statuses = [await ask(), await ask(), await ask()]
    expect(statuses.map(({ status }) => status)).toEqual([200, 200, 429])
    expect(await statuses[2]!.json()).toMatchObject({ policy: 'daily', type: 'urn:fetch-keypool:budget' })
  })
})

describe('what may be asked', () => {
  const policies: PolicyConfig[] = [
    { name: 'what', allow: { methods: ['GET', 'POST'], paths: ['/v1/*'], models: ['small-*', 'exact'] } },
  ]
  it.each([
    ['DELETE', '/v1/x', undefined, 405],
    ['POST', '/v2/x', { model: 'exact' }, 403],
    ['POST', '/v1/x', { model: 'exact' }, 200],
    ['POST', '/v1/x', { model: 'small-1' }, 200],
    ['POST', '/v1/x', { model: 'large' }, 403],
    ['POST', '/v1/x', { model: 'exactly' }, 403],
    ['POST', '/v1/x', {}, 403],
    ['GET', '/v1/models/exact:run', undefined, 200],
  ])('%s %s %j: %i', async (method, path, body, status) => {
    const { ask } = await behind(policies)
    const answer = await ask(path, { method, ...(body ? { body: JSON.stringify(body) } : {}) })
    expect(answer.status).toBe(status)
    if (status === 405) expect(answer.headers.get('allow')).toBe('GET, POST')
  })

  it.each(['/v1/../admin', '/v1/%2e%2e/admin', '/v1/..\\admin', '/v1/..%2fadmin', '/v1/x/%2e%2e%2f%2e%2e/admin'])(
    'is what is sent, not what is written: %s',
    async path => {
      const { url, server } = await behind([{ name: 'what', allow: { paths: ['/v1/*'] } }])
      const status = await new Promise<number>((resolve, reject) => {
        const { hostname, port } = new URL(url)
        get({ hostname, port, path: `/api${path}` }, answer => resolve(answer.resume().statusCode!)).on('error', reject)
      })
      expect([403, 400]).toContain(status)
      expect(server.received).toEqual([])
    },
  )

  it.each([
    ['/v1/x', '{"metadata":{"model":"exact"},"model":"large"}'],
    ['/v1/x', '{"model":"exact","model":"large"}'],
    ['/v1/x', '{"mod\\u0065l":"large","x":{"model":"exact"}}'],
    ['/v1/models/large:run', '{"model":"exact"}'],
    ['/v1/x', '{"model":["large"]}'],
    ['/v1/x', '[{"model":"exact"}]'],
  ])('models are those that the service may read: %s %s', async (path, body) => {
    const { ask, server } = await behind(policies)
    expect((await ask(path, { method: 'POST', body })).status).toBe(403)
    expect(server.received).toEqual([])
  })

  it('a body is bounded before it is looked into', async () => {
    const { ask, server } = await behind([
      { name: 'what', allow: { models: ['x*'] } },
      { name: 'size', maxBody: 100 },
    ])
    const answer = await ask('/v1/x', { method: 'POST', body: 'x'.repeat(5_000) })
    expect(answer.status).toBe(413)
    expect(server.received).toEqual([])
  })

  it('bodies are no larger than allowed, said beforehand or not', async () => {
    const { ask, server } = await behind([{ name: 'size', maxBody: '1kb' }])
    expect((await ask('/x', { method: 'POST', body: 'x'.repeat(1_024) })).status).toBe(200)
    expect((await ask('/x', { method: 'POST', body: 'x'.repeat(1_025) })).status).toBe(413)
    const stream = new ReadableStream({
      pull(controller) {
        controller.enqueue(new TextEncoder().encode('x'.repeat(900)))
      },
    })
    const endless = await ask('/x', { method: 'POST', body: stream, duplex: 'half' } as RequestInit).catch(
      () => undefined,
    )
    expect(endless?.status ?? 413).toBe(413)
    expect(server.received.every(({ body }) => body.length <= 1_024)).toBe(true)
  })
})

describe('priority', () => {
  it('lets callers take turns, whoever has asked most, and some before all others', async () => {
    const reply = async (): Promise<Reply> => {
      await new Promise(resolve => setTimeout(resolve, 10))
      return { body: 'x' }
    }
    const policies: PolicyConfig[] = [
      tokens('busy', 'other', 'vip'),
      { name: 'turns', priority: { high: ['vip'], slots: 1 } },
    ]
    const { ask } = await behind(policies, reply)
    const order: string[] = []
    const run = async (id: string) => {
      await ask('/x', as(`token-${id}`))
      order.push(id)
    }
    const busy = Array.from({ length: 8 }, () => run('busy'))
    await new Promise(resolve => setTimeout(resolve, 20))
    await Promise.all([...busy, run('other'), run('other'), run('vip')])
    expect(order.lastIndexOf('other')).toBeLessThan(order.length - 2)
    expect(order.indexOf('vip')).toBeLessThan(4)
  })
})

describe('order and reach', () => {
  it('policies are asked in their order, those of a route after those of all, and only for their routes', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const deny = (name: string, routes?: string[]): PolicyConfig => ({
      name,
      addresses: { deny: ['127.0.0.1'] },
      ...(routes ? { routes } : {}),
    })
    const { url } = await gateway({
      policies: [deny('first', ['/a']), deny('second', ['/a', '/b'])],
      routes: {
        '/a': { upstream: server.url, keys: 'k', policies: [deny('own of a')] },
        '/b': { upstream: server.url, keys: 'k', policies: [deny('own of b')] },
        '/c': { upstream: server.url, keys: 'k', policies: [deny('own of c')] },
        '/d': { upstream: server.url, keys: 'k' },
      },
    })
    const named = async (path: string) =>
      ((await (await fetch(`${url}${path}/x`)).json().catch(() => ({}))) as { policy?: string }).policy
    expect(await Promise.all(['/a', '/b', '/c', '/d'].map(named))).toEqual(['first', 'second', 'own of c', undefined])
  })
})

describe('policies in code', () => {
  it('stand before any fetch: budgets, models, limits', async () => {
    const server = await loopback(() => ({
      headers: { 'content-type': 'application/json' },
      body: '{"usage":{"total_tokens":60}}',
    }))
    const pooled = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['k'], cache: false })
    const policed = withPolicies(pooled, [
      { name: 'models', allow: { models: ['small'] } },
      { name: 'daily', budget: { tokens: 100, per: 'day' } },
    ])
    const ask = async (model: string) => {
      const answer = await policed(`${server.url}/v1`, post({ model }))
      await answer.text()
      return answer.status
    }
    expect([await ask('large'), await ask('small'), await ask('small'), await ask('small')]).toEqual([
      403, 200, 200, 429,
    ])
    expect(server.received).toHaveLength(2)
    expect(() => withPolicies(pooled, [{ name: 'x', budget: { per: 'day' } }])).toThrow(/requests or tokens/)
  })
})
