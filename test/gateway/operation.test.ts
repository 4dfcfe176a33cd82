import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGateway, type GatewayConfig, hashToken, readConfig } from 'fetch-keypool/gateway'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { gateway } from '../helpers/gateway.js'
import { loopback } from '../helpers/loopback.js'

const folder = mkdtempSync(join(tmpdir(), 'keypool-gateway-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const fileOf = (text: string, name = 'json') => {
  const path = join(folder, `${++files}.${name}`)
  writeFileSync(path, text)
  return path
}
const operator = { authorization: 'Bearer the-operator', 'content-type': 'application/json' }

describe('the operator', () => {
  const config = { operator: { tokens: [hashToken('the-operator')] } }
  it('lists, adds, disables, enables, resets and removes keys', async () => {
    const server = await loopback(() => ({ body: 'served' }))
    const { url } = await gateway({
      ...config,
      routes: { '/api': { upstream: server.url, keys: ['value-one'], cache: false } },
    })
    const act = async (body?: object) => {
      const answer = await fetch(`${url}/__keypool/api/keys/api`, {
        headers: operator,
        ...(body ? { method: 'POST', body: JSON.stringify(body) } : {}),
      })
      const text = await answer.text()
      expect(text).not.toContain('value-')
      return [
        answer.status,
        ((JSON.parse(text).keys ?? []) as { id: string; state: string }[]).map(({ id, state }) => `${id} ${state}`),
      ]
    }
    expect(await act()).toEqual([200, ['key-1 ready']])
    expect(await act({ action: 'add', key: { id: 'two', value: 'value-two' } })).toEqual([
      200,
      ['key-1 ready', 'two ready'],
    ])
    expect(await act({ action: 'disable', id: 'key-1' })).toEqual([200, ['key-1 disabled', 'two ready']])
    await fetch(`${url}/api/x`)
    expect(server.keys()).toEqual(['value-two'])
    expect(await act({ action: 'enable', id: 'key-1' })).toEqual([200, ['key-1 ready', 'two ready']])
    expect(await act({ action: 'reset' })).toEqual([200, ['key-1 ready', 'two ready']])
    expect(await act({ action: 'remove', id: 'two' })).toEqual([200, ['key-1 ready']])
    expect(await act({ action: 'remove', id: 'nobody' })).toEqual([404, []])
    expect(await act({ action: 'add', key: '' })).toEqual([400, []])
    expect(await act({ action: 'explode' })).toEqual([400, []])
  })

  it('is asked for a token of his own, for everything that is not public', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const callers = { name: 'callers', authentication: { tokens: [{ id: 'a', hash: hashToken('caller') }] } }
    const { url } = await gateway({
      ...config,
      policies: [callers],
      routes: { '/api': { upstream: server.url, keys: 'k' } },
    })
    const of = (path: string, token?: string) =>
      fetch(`${url}${path}`, token ? { headers: { authorization: `Bearer ${token}` } } : {}).then(
        ({ status }) => status,
      )
    for (const path of ['/__keypool/api/overview', '/__keypool/api/live', '/__keypool/api/keys/api', '/metrics']) {
      expect([await of(path), await of(path, 'caller'), path]).toEqual([401, 401, path])
    }
    expect([
      await of('/metrics', 'the-operator'),
      await of('/health'),
      await of('/ready'),
      await of('/__keypool/'),
    ]).toEqual([200, 200, 200, 200])
    expect(await of('/api/x', 'the-operator')).toBe(401)
  })

  it('is nobody unless named: then whoever is on this machine may look, and nobody act', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const { url } = await gateway({ routes: { '/api': { upstream: server.url, keys: 'k' } } })
    expect((await fetch(`${url}/__keypool/api/overview`)).status).toBe(200)
    const act = await fetch(`${url}/__keypool/api/keys/api`, {
      method: 'POST',
      headers: operator,
      body: '{"action":"disable","id":"key-1"}',
    })
    expect(act.status).toBe(403)
    expect(await act.json()).toMatchObject({ detail: expect.stringContaining('operator.tokens') })
  })
})

describe('what is told', () => {
  it('metrics are Prometheus text, with keys by id', async () => {
    const server = await loopback(({ key }) =>
      key === 'value-one' ? { status: 429, headers: { 'retry-after': '60' } } : { body: 'x' },
    )
    const { url } = await gateway({
      policies: [{ name: 'what', allow: { methods: ['GET'] } }],
      routes: { '/api': { upstream: server.url, keys: 'value-one,value-two', limits: { requests: 100, per: '1m' } } },
    })
    await fetch(`${url}/api/x`)
    await fetch(`${url}/api/x`, { method: 'DELETE' })
    const answer = await fetch(`${url}/metrics`)
    const text = await answer.text()
    expect(answer.headers.get('content-type')).toContain('version=0.0.4')
    for (const line of [
      'keypool_gateway_answers_total{route="/api",status="200"} 1',
      'keypool_gateway_refusals_total{route="/api",policy="what"} 1',
      'keypool_key_refusals_total{route="/api",key="key-1",cause="rate-limit"} 1',
      'keypool_key_state{route="/api",key="key-1",state="cooling"} 1',
      'keypool_key_limit{route="/api",key="key-2",unit="requests",per="60s"} 100',
      'keypool_key_remaining{route="/api",key="key-2",unit="requests",per="60s"} 99',
    ]) {
      expect(text).toContain(`${line}\n`)
    }
    for (const line of text.trim().split('\n'))
      expect(line).toMatch(/^(# (HELP|TYPE) \S+ .+|[a-z_]+\{[^}]*\} -?[\d.e+-]+)$/)
    expect(text).not.toContain('value-')
  })

  it('the log has a line for each request, without tokens, queries or keys', async () => {
    const file = join(folder, 'log', 'requests.log')
    const server = await loopback(({ url }) => ({ status: url.includes('bad') ? 500 : 200, body: 'x' }))
    const callers = { name: 'callers', authentication: { tokens: [{ id: 'app', hash: hashToken('token-of-app') }] } }
    const made = await gateway({
      log: { file },
      policies: [callers],
      routes: { '/api': { upstream: server.url, keys: 'value-one', retry: false } },
    })
    const headers = { authorization: 'Bearer token-of-app' }
    await fetch(`${made.url}/api/v1/x?q=secret-query`, { headers, method: 'POST', body: '{"model":"m"}' })
    await fetch(`${made.url}/api/bad`, { headers })
    await fetch(`${made.url}/api/none`)
    await made.close()
    const text = readFileSync(file, 'utf8')
    const lines = text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>)
    expect(lines.map(({ path, status, caller, policy }) => [path, status, caller, policy])).toEqual([
      ['/v1/x', 200, 'app', undefined],
      ['/bad', 500, 'app', undefined],
      ['/none', 401, undefined, 'callers'],
    ])
    expect(text).not.toMatch(/token-of|secret-query|value-one|sha256/)
  })

  it('the log tells of each request what the pool has decided for it', async () => {
    const file = join(folder, 'log', 'decisions.log')
    const server = await loopback(({ headers }) =>
      headers.authorization === 'Bearer value-one' ? { status: 429, headers: { 'retry-after': '30' } } : { body: 'x' },
    )
    const route = { upstream: server.url, strategy: 'fill-first', scope: 'model', cache: false } as const
    const made = await gateway({
      log: { file },
      routes: { '/api': { ...route, keys: 'value-one,value-two', limits: { tokens: 1_000, per: '1m' } } },
    })
    const ask = (model: string) =>
      fetch(`${made.url}/api/v1/x`, { method: 'POST', body: JSON.stringify({ model }) }).then(response =>
        response.text(),
      )
    await Promise.all([ask('m'), ask('n')])
    await made.close()
    const text = readFileSync(file, 'utf8')
    const requests = text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as { msg: string; callId: string; trace: { keyId: string }[]; part: string })
      .filter(({ msg }) => msg === 'request')
    expect(requests.map(({ part }) => part).sort()).toEqual(['m', 'n'])
    for (const request of requests) {
      expect(request).toMatchObject({ keyId: 'key-2', tokens: 1, fromCache: false, waited: expect.any(Number) })
      expect(request.trace).toMatchObject([
        { keyId: 'key-1', status: 429, cause: 'rate-limit' },
        { keyId: 'key-2', status: 200, cause: null },
      ])
    }
    expect(new Set(requests.map(({ callId }) => callId)).size).toBe(2)
    expect(text).not.toMatch(/value-/)
  })

  it('alerts are signed, tried again, and not sent twice in a while', async () => {
    const received: { body: string; headers: Record<string, unknown> }[] = []
    const hook = await loopback(({ body, headers }, count) => {
      received.push({ body, headers })
      return { status: count === 1 ? 500 : 204 }
    })
    const server = await loopback(() => ({ status: 429, headers: { 'retry-after-ms': '30' } }))
    const made = await gateway({
      alerts: [{ url: hook.url, secret: 'shared', events: ['key-exhausted', 'pool-exhausted'] }],
      routes: { '/api': { upstream: server.url, keys: 'value-one', maxWait: 100 } },
    })
    for (let count = 0; count < 3; count++) await fetch(`${made.url}/api/x`)
    await vi.waitFor(() => expect(received.length).toBeGreaterThanOrEqual(3), { timeout: 10_000 })
    const [first, second] = received
    expect(second!.body).toBe(first!.body)
    expect(JSON.parse(second!.body)).toMatchObject({
      event: 'key-exhausted',
      route: '/api',
      keyId: 'key-1',
      cause: 'rate-limit',
    })
    const timestamp = String(second!.headers['x-keypool-timestamp'])
    const signature = createHmac('sha256', 'shared').update(`${timestamp}.${second!.body}`).digest('hex')
    expect(second!.headers['x-keypool-signature']).toBe(`sha256=${signature}`)
    const events = received.slice(1).map(({ body }) => JSON.parse(body).event)
    expect(events).toEqual([...new Set(events)])
    expect(JSON.stringify(received)).not.toContain('value-one')
  })
})

// What stands in a configuration for the environment's values is no template here.
/* biome-ignore-start lint/suspicious/noTemplateCurlyInString: texts of a configuration */
describe('a configuration', () => {
  it('has secrets in the environment and in files', async () => {
    writeFileSync(join(folder, 'keys.txt'), '# ours\nvalue-one\nvalue-two\n')
    const path = fileOf(`{
      // comments are no harm
      "routes": {
        "/a": { "upstream": "https://a.example", "keys": "\${KEYS_OF_A}" },
        "/b": { "upstream": "https://b.example", "keys": "file:keys.txt" },
        "/c": { "upstream": "https://c.example", "keys": [{ "value": "\${NOT_THERE:-otherwise}", "id": "c" }], },
      },
    }`)
    const { config, files: read } = await readConfig(path, { KEYS_OF_A: 'x,y' })
    expect(Object.values(config.routes).map(({ keys }) => keys)).toEqual([
      'x,y',
      '# ours\nvalue-one\nvalue-two',
      [{ value: 'otherwise', id: 'c' }],
    ])
    expect(read).toEqual([path, join(folder, 'keys.txt')])
  })

  it.each([
    ['{\n  "routes": {\n    "/a": { "keys": "k" "x": 1 }\n  }\n}', /:3:25: no JSON/],
    [
      '{\n  "routes": {},\n  "listen": { "port": 99999 }\n}',
      /:3:15: Option 'listen.port': expected a port: 0 to 65535, got 99999/,
    ],
    ['{\n  "routes": { "a": { "keys": "k" } }\n}', /:2:\d+: Option 'routes/],
    ['{\n  "routes": { "/a": {} }\n}', /Option 'routes.\/a'.*'keys'/],
    [
      '{\n  "routes": { "/a": { "keys": "k" } },\n  "policies": [\n    { "name": "x", "rateLimit": { "requests": 5 } }\n  ]\n}',
      /:4:\d+: .*policies\[0\].rateLimit.*'per'/,
    ],
    [
      '{\n  "routes": { "/a": { "keys": "k" } },\n  "polices": []\n}',
      /:3:3: Option 'polices': expected no option of this name/,
    ],
    [
      '{\n "routes": { "/a": { "keys": "${NO_SUCH}" } }\n}',
      /:2:\d+: Option 'routes.\/a.keys': expected the environment to have NO_SUCH/,
    ],
    [
      '{\n "routes": { "/a": { "keys": "file:none.txt" } }\n}',
      /:2:\d+: Option 'routes.\/a.keys': expected a file that can be read, got ENOENT/,
    ],
    [
      '{\n  "routes": { "/a": { "keys": "k" } },\n  "policies": [\n    { "name": "x", "maxBody": 1 },\n    { "name": "x", "maxBody": 2 }\n  ]\n}',
      /a name of its own/,
    ],
  ])('that is wrong is told with its place: %#', async (text, expected) => {
    await expect(readConfig(fileOf(text), {})).rejects.toThrow(expected)
  })

  it('tells the place of a wrong option of a pool too, and quotes no secret', async () => {
    const path = fileOf(
      '{\n  "routes": {\n    "/a": {\n      "upstream": "https://a.example",\n      "keys": "${K}",\n      "limits": { "requests": 0, "per": "1s" }\n    }\n  }\n}',
    )
    const read = await readConfig(path, { K: 'value-of-secret' })
    const error = (await createGateway(read.config).catch(read.locate)) as Error
    expect(error.message).toMatch(/:6:\d+: Option 'routes.\/a.limits.requests': expected a whole number above 0, got 0/)
    expect(error.message).not.toContain('value-of-secret')
  })

  it.each([
    ['mjs', 'export default { routes: { "/a": { upstream: "https://a.example", keys: ["k"] } } }'],
    [
      'ts',
      'const keys: string[] = ["k"]\nexport default () => ({ routes: { "/a": { upstream: "https://a.example", keys } } })',
    ],
  ])('may be a module: %s', async (name, text) => {
    expect((await readConfig(fileOf(text, name))).config.routes['/a']!.keys).toEqual(['k'])
  })

  it('does not listen beyond loopback without authentication', async () => {
    const routes = { '/a': { upstream: 'https://a.example', keys: 'k' } }
    const open = { listen: { host: '0.0.0.0', port: 0 }, log: false as const, routes }
    await expect(createGateway(open)).rejects.toThrow(/listen.host.*asks for no authentication/)
    const callers = { name: 'callers', authentication: { tokens: [{ id: 'a', hash: hashToken('x') }] } }
    const two = { ...open, routes: { ...routes, '/b': routes['/a'] }, policies: [{ ...callers, routes: ['/b'] }] }
    await expect(createGateway(two)).rejects.toThrow(/listen.host.*route '\/a'/)
    await (await createGateway({ ...open, policies: [callers] })).close()
  })

  it('is changed while it runs; a wrong one changes nothing; pools that are the same go on', async () => {
    const server = await loopback(({ key }) => ({ body: key }))
    const route = (keys: string) => ({ upstream: server.url, keys, cache: false as const })
    const base: GatewayConfig = { allowPrivateUpstreams: true, routes: { '/a': route('a1'), '/b': route('b1') } }
    const made = await gateway(base)
    const [a, b] = [made.pool('/a'), made.pool('/b')]
    b.pool.disable('key-1')
    await made.reload({ ...base, routes: { '/a': route('a1'), '/b': route('b1,b2'), '/c': route('c1') } })
    expect(made.pool('/a')).toBe(a)
    expect(made.pool('/b')).not.toBe(b)
    // What was known of a key is known on.
    expect(
      made
        .pool('/b')
        .pool.keys()
        .map(({ state }) => state),
    ).toEqual(['disabled', 'ready'])
    expect(
      await Promise.all(['/a', '/b', '/c'].map(async path => (await fetch(`${made.url}${path}/x`)).text())),
    ).toEqual(['a1', 'b2', 'c1'])
    await expect(
      made.reload({ routes: { '/a': { ...route('a1'), limits: { requests: -1, per: '1s' } } } }),
    ).rejects.toThrow(/routes.\/a.limits/)
    expect((await fetch(`${made.url}/c/x`)).status).toBe(200)
  })
})

describe('a change while it runs', () => {
  const callers = { name: 'callers', authentication: { tokens: [{ id: 'a', hash: hashToken('x') }] } }

  it('is held against where it listens, whatever the new configuration says', async () => {
    const routes = { '/a': { upstream: 'https://a.example', keys: 'k' } }
    const made = await gateway({ listen: { host: '0.0.0.0', port: 0 }, routes, policies: [callers] })
    await expect(made.reload({ routes })).rejects.toThrow(/listen.host/)
  })

  it('keeps what limits and budgets have counted, each by its unit', async () => {
    const server = await loopback(() => ({
      headers: { 'content-type': 'application/json' },
      body: '{"usage":{"total_tokens":40}}',
    }))
    const route = { upstream: server.url, keys: 'k', cache: false as const }
    const hourly = { name: 'hourly', rateLimit: { requests: 3, per: '1h', by: 'all' as const } }
    const budget = (more: object) => ({
      name: 'daily',
      budget: { tokens: 1_000, per: 'day' as const, by: 'all' as const, ...more },
    })
    const config = (more: object): GatewayConfig => ({
      allowPrivateUpstreams: true,
      routes: { '/a': route },
      policies: [hourly, budget(more)],
    })
    const made = await gateway(config({}))
    const ask = async () => {
      const answer = await fetch(`${made.url}/a/x`)
      await answer.text()
      return answer
    }
    await ask()
    await ask()
    await made.reload(config({ requests: 900 }))
    const third = await ask()
    expect(third.headers.get('ratelimit')).toMatch(
      /^"hourly";r=0;t=\d+, "daily-requests";r=899;t=\d+, "daily-tokens";r=920;t=\d+$/,
    )
    expect((await ask()).status).toBe(429)
  })

  it('does not wait for a webhook that is dead, and lets who waits for a key of an old pool have one', async () => {
    const hook = await loopback(() => () => {})
    const server = await loopback(({ key }) => ({ body: key }))
    const base: GatewayConfig = { allowPrivateUpstreams: true, alerts: [{ url: hook.url }], routes: {} }
    const route = (keys: string) => ({
      upstream: server.url,
      keys,
      cache: false as const,
      limits: { requests: 1, per: 400 },
    })
    const made = await gateway({ ...base, routes: { '/a': route('one') } })
    made.pool('/a').pool.disable('key-1')
    made.pool('/a').pool.enable('key-1')
    await vi.waitFor(() => expect(hook.received.length).toBeGreaterThan(0))
    const answers = [1, 2, 3].map(async () => (await fetch(`${made.url}/a/x`)).text())
    await new Promise(resolve => setTimeout(resolve, 50))
    await made.reload({ ...base, routes: { '/a': route('two') } })
    expect(await (await fetch(`${made.url}/a/x`)).text()).toBe('two')
    expect(await Promise.all(answers)).toEqual(['one', 'one', 'one'])
  })
})

describe('what can go wrong at the start', () => {
  const routes = { '/a': { upstream: 'https://a.example', keys: 'k' } }
  it.each([
    [{ routes, policies: [{ name: 'x', routes: ['/opnai'], maxBody: 1 }] }, /policies.x.routes.*one of \/a/],
    [{ routes: { '/a': { ...routes['/a'], keys: null } } }, /routes.\/a.*keys/],
    [{ routes: { '/a': { ...routes['/a'], keys: [null] } } }, /routes.\/a.*keys/],
    [{ routes: { '/a': { upstream: 'https://a.example/?x=1', keys: 'k' } } }, /upstream.*without query/],
    [
      { routes: { '/a': { upstream: 'https://a.example', origins: 'https://b.example', keys: 'k' } } },
      /origins.*keys travel nowhere else/,
    ],
    [{ routes: { '/health': routes['/a'] } }, /routes beside/],
    [{ routes, log: { file: '/dev/null/x.log' } }, /log.file/],
    [
      { routes, operator: { tokens: ['plain-token-of-operator'] } },
      /operator.tokens\[0\]'?: expected 'sha256:'.* got a string/,
    ],
  ])('is told: %#', async (config, expected) => {
    const error = (await createGateway(config as never).catch(each => each)) as Error
    expect(error).toMatchObject({ code: expect.stringMatching(/^ERR_(?:CONFIG|INVALID_OPTION)$/) })
    expect(error.message).toMatch(expected)
    expect(error.message).not.toContain('plain-token')
  })

  it('a port that is taken is told, timeouts that cross are set right, and secrets are read once', async () => {
    const made = await gateway({ routes, server: { requestTimeout: '1s' } })
    const port = Number(new URL(made.url).port)
    const second = await createGateway({ listen: { port }, log: false, routes })
    await expect(second.listen()).rejects.toMatchObject({
      code: 'ERR_CONFIG',
      message: expect.stringContaining('EADDRINUSE'),
    })
    await second.close()
    const read = await readConfig(
      fileOf('{ "routes": { "/a": { "upstream": "https://a.example", "keys": "${K}" } } }'),
      { K: 'sk-a${b}c' },
    )
    await (await createGateway({ ...read.config, log: false })).close()
  })

  it('a log that fills its disk stops, and nothing else does', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const made = await gateway({
      log: { file: '/dev/full' },
      routes: { '/a': { upstream: server.url, keys: 'k', cache: false } },
    })
    for (let count = 0; count < 3; count++) {
      expect((await fetch(`${made.url}/a/x`)).status).toBe(200)
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    await made.close()
  })
})

/* biome-ignore-end lint/suspicious/noTemplateCurlyInString: texts of a configuration */

describe('a restart', () => {
  it('keeps cooldowns, what was used of long windows, budgets, and what an operator has switched off', async () => {
    const state = join(folder, 'state.json')
    const server = await loopback(({ key }) =>
      key === 'limited' ? { status: 429, headers: { 'retry-after': '3000' } } : { body: key },
    )
    const config: GatewayConfig = {
      state,
      policies: [{ name: 'daily', budget: { requests: 4, per: 'day', by: 'all' } }],
      routes: {
        '/api': {
          upstream: server.url,
          keys: 'limited,daily,off',
          cache: false,
          limits: { requests: 3, per: 'day' },
          maxWait: 100,
        },
      },
    }
    const first = await gateway(config)
    first.pool('/api').pool.disable('key-3')
    expect(await (await fetch(`${first.url}/api/x`)).text()).toBe('daily')
    expect(await (await fetch(`${first.url}/api/x`)).text()).toBe('daily')
    await first.close()
    expect(readFileSync(state, 'utf8')).not.toMatch(/limited|off"/)
    const second = await gateway(config)
    await vi.waitFor(() =>
      expect(
        second
          .pool('/api')
          .pool.keys()
          .map(({ state: each, cause }) => [each, cause]),
      ).toEqual([
        ['cooling', 'rate-limit'],
        ['ready', null],
        ['disabled', 'disabled'],
      ]),
    )
    expect(second.pool('/api').pool.keys()[1]!.remaining).toBe(1)
    const statuses = [
      await fetch(`${second.url}/api/x`),
      await fetch(`${second.url}/api/x`),
      await fetch(`${second.url}/api/x`),
    ]
    expect(statuses.map(({ status }) => status)).toEqual([200, 429, 429])
    expect(await statuses[2]!.json()).toMatchObject({ policy: 'daily' })
  })

  it.each([
    '',
    '{"version":1',
    '{"version":99}',
    '{"version":1,"quotas":{"a":5},"tallies":{}}',
    '{"version":1,"quotas":{},"tallies":null}',
    '{"version":1,"quotas":{},"tallies":{"a":{"b":{"until":1}}}}',
  ])('sets a state aside that is damaged: %j', async text => {
    const state = fileOf(text)
    const server = await loopback(() => ({ body: 'x' }))
    const made = await gateway({ state, routes: { '/api': { upstream: server.url, keys: 'k' } } })
    expect((await fetch(`${made.url}/api/x`)).status).toBe(200)
    expect(existsSync(`${state}.corrupt`)).toBe(true)
  })
})

describe('callers that misbehave', () => {
  const routes = { '/api': { upstream: 'http://127.0.0.1:1', keys: 'k', retry: false as const } }
  async function raw(url: string, text: string, end = false) {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    let got = ''
    socket.on('data', chunk => {
      got += chunk
    })
    socket.on('error', () => {})
    socket.write(text)
    if (end) socket.end()
    await Promise.race([once(socket, 'close'), new Promise(resolve => setTimeout(resolve, 5_000))])
    socket.destroy()
    return got
  }

  it.each([
    ['headers that are too large', `GET /api/x HTTP/1.1\r\nHost: localhost\r\nA: ${'x'.repeat(20_000)}\r\n\r\n`, 431],
    ['no HTTP', 'HELLO\r\n\r\n', 400],
    [
      'two lengths',
      'POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello',
      400,
    ],
    [
      'a length and chunks',
      'POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    [
      'an unknown transfer coding',
      'POST /api/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    [
      'a broken chunk',
      'POST /api/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nhello\r\n0\r\n\r\n',
      400,
    ],
    ['a space before the colon', 'GET /api/x HTTP/1.1\r\nHost : localhost\r\n\r\n', 400],
    [
      'a bare line feed in a header',
      'GET /api/x HTTP/1.1\r\nHost: localhost\r\nA: b\nContent-Length: 3\r\n\r\nabc',
      400,
    ],
    ['no host', 'GET /api/x HTTP/1.1\r\n\r\n', 400],
    ['a request for elsewhere', 'GET http://elsewhere.example/api/x HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
  ])('%s are answered with 4xx, and the gateway lives', async (_, text, status) => {
    const { url } = await gateway({ routes })
    const got = await raw(url, text)
    expect(got).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    expect((await fetch(`${url}/health`)).status).toBe(200)
  })

  it('who is slow to send headers, or a body, is told 408', async () => {
    const { url } = await gateway({ routes, server: { headersTimeout: 300, requestTimeout: 600, drain: 100 } })
    expect(await raw(url, 'GET /api/x HTTP/1.1\r\nHost: localhost\r\nA: ')).toMatch(/^HTTP\/1.1 408 /)
    expect(await raw(url, 'POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhel')).toMatch(
      /^HTTP\/1.1 408 /,
    )
    expect((await fetch(`${url}/health`)).status).toBe(200)
  })
})

describe('the end', () => {
  it('waits for requests on their way, and takes no more', async () => {
    let release = () => {}
    const held = new Promise<void>(resolve => {
      release = resolve
    })
    const server = await loopback(async () => {
      await held
      return { body: 'whole' }
    })
    const made = await gateway({ server: { drain: 10_000 }, routes: { '/api': { upstream: server.url, keys: 'k' } } })
    const answer = fetch(`${made.url}/api/x`)
    await vi.waitFor(() => expect(server.received).toHaveLength(1))
    const closed = made.close()
    await expect(fetch(`${made.url}/health`)).rejects.toThrow()
    release()
    expect(await (await answer).text()).toBe('whole')
    await closed
  })
})
