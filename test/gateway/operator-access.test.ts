import {
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createGateway, type GatewayConfig, hashToken, readConfig } from 'fetch-keypool/gateway'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { gateway } from '../helpers/gateway.js'
import { loopback } from '../helpers/loopback.js'

const folder = mkdtempSync(join(tmpdir(), 'keypool-operator-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const operator = { authorization: 'Bearer the-operator', 'content-type': 'application/json' }
const tokens = { operator: { tokens: [hashToken('the-operator')] } }
const SECRET = 'sk-a-secret-of-whoever-runs-it'

describe('an operator', () => {
  it('leaves a line in the log with each thing that he does', async () => {
    const file = join(folder, 'audit.log')
    const server = await loopback(() => ({ body: 'x' }))
    const made = await gateway({
      ...tokens,
      log: { file },
      routes: { '/api': { upstream: server.url, keys: ['value-one'] } },
    })
    const act = (body: object) =>
      fetch(`${made.url}/__keypool/api/keys/api`, { method: 'POST', headers: operator, body: JSON.stringify(body) })
    await act({ action: 'disable', id: 'key-1' })
    await act({ action: 'add', key: { id: 'two', value: 'value-two-secret' } })
    await act({ action: 'remove', id: 'nobody' })
    await made.close()
    const text = readFileSync(file, 'utf8')
    const lines = text
      .trim()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === 'operator')
    expect(lines.map(({ action, route, keyId, status, address }) => [action, route, keyId, status, address])).toEqual([
      ['disable', '/api', 'key-1', 200, '127.0.0.1'],
      ['add', '/api', undefined, 200, '127.0.0.1'],
      ['remove', '/api', 'nobody', 404, '127.0.0.1'],
    ])
    expect(lines[0]!.operator).toBe(hashToken('the-operator').slice(0, 15))
    expect(text).not.toMatch(/value-two-secret|the-operator/)
  })

  it('is let wait after ten wrong tokens from his address', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const { url } = await gateway({
      ...tokens,
      trustedProxies: ['127.0.0.1'],
      routes: { '/api': { upstream: server.url, keys: 'value-one' } },
    })
    const ask = (token: string, address = '203.0.113.1', path = '/__keypool/api/overview') =>
      fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}`, 'x-forwarded-for': address } })
    for (let count = 0; count < 10; count++) expect((await ask(`wrong-${count}`)).status).toBe(401)
    const refused = await ask('the-operator')
    expect([refused.status, Number(refused.headers.get('retry-after'))]).toEqual([429, expect.any(Number)])
    expect((await ask('wrong', '203.0.113.1', '/metrics')).status).toBe(429)
    expect((await ask('the-operator', '203.0.113.2')).status).toBe(200)
  })

  it('may show his token in the query of the stream of events only', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const { url } = await gateway({ ...tokens, routes: { '/api': { upstream: server.url, keys: 'value-one' } } })
    expect((await fetch(`${url}/__keypool/api/overview?key=the-operator`)).status).toBe(401)
    expect((await fetch(`${url}/metrics?key=the-operator`)).status).toBe(401)
    const live = await fetch(`${url}/__keypool/api/live?key=the-operator`)
    expect(live.status).toBe(200)
    await live.body!.cancel()
  })

  it('adds no key that would travel elsewhere', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const { url } = await gateway({ ...tokens, routes: { '/api': { upstream: server.url, keys: 'value-one' } } })
    const add = async (baseUrl: string) => {
      const body = JSON.stringify({ action: 'add', key: { value: 'value-two', baseUrl } })
      return (await fetch(`${url}/__keypool/api/keys/api`, { method: 'POST', headers: operator, body })).status
    }
    expect(await add('https://evil.example/v1')).toBe(400)
    expect(await add('no URL')).toBe(400)
    expect(await add(`${server.url}/v2`)).toBe(200)
  })

  it('sees a page on which nothing of a service can run', async () => {
    const server = await loopback(() => ({
      headers: { 'content-type': 'text/html', 'set-cookie': 'a=b' },
      body: '<script>1</script>',
    }))
    const { url } = await gateway({
      ...tokens,
      routes: { '/u': { upstream: server.url, keys: 'value-one', cache: false } },
    })
    const page = await fetch(`${url}/u/page`)
    expect(page.headers.get('content-security-policy')).toMatch(/^sandbox; default-src 'none'$/)
    expect(page.headers.get('x-content-type-options')).toBe('nosniff')
    expect(page.headers.getSetCookie()).toEqual([])
    const own = await fetch(`${url}/__keypool/`)
    expect(own.headers.get('content-security-policy')).not.toMatch(/unsafe/)
  })
})

describe('programs on this machine', () => {
  it.each([
    ['X-Forwarded-For: 203.0.113.9'],
    ['Via: 1.1 proxy'],
    ['Forwarded: for=203.0.113.9'],
    ['X-Real-IP: 203.0.113.9'],
    ['X-Forwarded-Proto: https'],
    ['CF-Connecting-IP: 203.0.113.9'],
    ['X-Forwarded-For: 127.0.0.1'],
  ])('are not those that a proxy beside them passes on (%s)', async field => {
    const server = await loopback(() => ({ body: 'x' }))
    const config = { '/api': { upstream: server.url, keys: 'value-one' } }
    const authentication = { name: 'a', authentication: { tokens: [{ id: 'x', hash: hashToken('t') }] } }
    const open = await gateway({ routes: config })
    const closed = await gateway({ routes: config, policies: [authentication] })
    for (const [url, path] of [
      [open.url, '/api/x'],
      [open.url, '/__keypool/api/overview'],
      [open.url, '/metrics'],
      [closed.url, '/__keypool/api/overview'],
      [closed.url, '/metrics'],
    ] as const) {
      expect(await statusOf(url, path, `${field}\r\n`)).toBeGreaterThanOrEqual(401)
    }
    expect(await statusOf(open.url, '/api/x', '')).toBe(200)
    expect(server.received).toHaveLength(1)
  })

  it('are those that a trusted proxy says are', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const { url } = await gateway({
      trustedProxies: ['127.0.0.1'],
      routes: { '/api': { upstream: server.url, keys: 'value-one' } },
    })
    expect(await statusOf(url, '/api/x', 'X-Forwarded-For: 127.0.0.1\r\n')).toBe(200)
    expect(await statusOf(url, '/api/x', 'X-Forwarded-For: 203.0.113.9\r\n')).toBe(403)
    expect(await statusOf(url, '/api/x', 'Via: 1.1 proxy\r\n')).toBe(403)
  })

  function statusOf(url: string, path: string, fields: string): Promise<number> {
    return new Promise(resolve => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1')
      socket.once('data', bytes => {
        resolve(Number(bytes.toString().slice(9, 12)))
        socket.destroy()
      })
      socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${new URL(url).port}\r\n${fields}\r\n`)
    })
  }
})

describe('what was stored while others could see it', () => {
  const hash = (token: string) => ({ id: token, hash: hashToken(token) })

  it.each([
    ['authentication', [{ name: 'callers', authentication: { tokens: [hash('a'), hash('b')] } }]],
    ['a list of paths', [{ name: 'what', allow: { paths: ['/me'] } }]],
  ] as const)('is not shown after a reload that brings %s', async (_, policies) => {
    let count = 0
    const server = await loopback(() => ({ headers: { 'cache-control': 'max-age=600' }, body: `answer ${++count}` }))
    const routes = { '/ai': { upstream: server.url, keys: ['key-one-0001'] } }
    const config: GatewayConfig = { listen: { port: 0 }, log: false, allowPrivateUpstreams: ['127.0.0.0/8'], routes }
    const made = await gateway(config)
    const ask = async (token: string) =>
      (await fetch(`${made.url}/ai/me`, { headers: { authorization: `Bearer ${token}` } })).text()
    expect([await ask('a'), await ask('a')]).toEqual(['answer 1', 'answer 1'])
    await made.reload({ ...config, policies: [...policies] })
    expect(await ask('a')).toBe('answer 2')
    await made.reload(config)
    expect(await ask('b')).toBe('answer 3')
  })
})

describe('files of the gateway', () => {
  it('are readable by nobody else, and leave nothing behind', async () => {
    const within = mkdtempSync(join(folder, 'files-'))
    const [state, file] = [join(within, 'state.json'), join(within, 'deep', 'log')]
    writeFileSync(join(within, 'state.json.0123456789abcdef.tmp'), 'left by one that was killed')
    const server = await loopback(() => ({ body: 'x' }))
    const made = await gateway({
      state,
      log: { file },
      routes: { '/api': { upstream: server.url, keys: 'value-one', limits: { requests: 5, per: 'day' } } },
    })
    await fetch(`${made.url}/api/x`)
    await made.close()
    expect([state, file].map(path => (statSync(path).mode & 0o777).toString(8))).toEqual(['600', '600'])
    expect(readdirSync(within).sort()).toEqual(['deep', 'state.json'])
  })

  it.each(['state', 'log'] as const)('are not written through a symbolic link: %s', async which => {
    const victim = join(folder, `victim-${which}`)
    writeFileSync(victim, 'precious')
    const link = join(folder, `link-${which}`)
    symlinkSync(victim, link)
    const made = gateway({
      ...(which === 'state' ? { state: link } : { log: { file: link } }),
      routes: { '/api': { provider: 'openai', keys: 'value-one' } },
    })
    await expect(made).rejects.toMatchObject({ code: 'ERR_CONFIG', message: expect.stringContaining('symbolic link') })
    expect(readFileSync(victim, 'utf8')).toBe('precious')
    expect(lstatSync(link).isSymbolicLink()).toBe(true)
  })

  it('keep no more of invented names of models than a bound', async () => {
    const state = join(folder, 'many.json')
    const server = await loopback(() => ({
      ...{ status: 429, headers: { 'retry-after': '3600', 'content-type': 'application/json' } },
      body: '{"error":{"message":"limit for this model","type":"requests","code":"rate_limit_exceeded"}}',
    }))
    const made = await gateway({
      state,
      routes: {
        '/u': {
          provider: 'openai',
          upstream: server.url,
          origins: server.url,
          keys: ['key-one-0001'],
          maxWait: 0,
          retry: false,
        },
      },
    })
    const ask = (model: string) =>
      fetch(`${made.url}/u/v1/responses`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model }),
      }).then(answer => answer.text())
    for (let count = 0; count < 1_200; count += 20)
      await Promise.all(Array.from({ length: 20 }, (_, index) => ask(`m${count + index}-${'x'.repeat(100)}`)))
    const overview = await (await fetch(`${made.url}/__keypool/api/overview`)).text()
    expect(overview.length).toBeLessThan(40_000)
    await made.close()
    expect(statSync(state).size).toBeLessThan(100_000)
  })
})

describe('errors of the configuration', () => {
  it.each<[string, object]>([
    ['a key where a route should be', { routes: { '/a': SECRET } }],
    ['keys that are no list', { routes: { '/a': { provider: 'openai', keys: { value: SECRET } } } }],
    ['a key as the provider', { routes: { '/a': { provider: SECRET, keys: [SECRET] } } }],
    ['a key in a wrong option', { routes: { '/a': { provider: 'openai', keys: [SECRET], strategy: SECRET } } }],
    ['a key as the name of an option', { routes: { '/a': { provider: 'openai', keys: [SECRET], [SECRET]: true } } }],
    [
      'a key in the upstream',
      { routes: { '/a': { upstream: `https://api.example/v1?key=${SECRET}`, keys: ['value-one'] } } },
    ],
    [
      'a user and a password in the upstream',
      { routes: { '/a': { upstream: `https://user:${SECRET}@api.example/`, keys: ['value-one'] } } },
    ],
    [
      'a token that is no hash',
      { operator: { tokens: [SECRET] }, routes: { '/a': { provider: 'openai', keys: 'k' } } },
    ],
    [
      'a caller’s token that is no hash',
      {
        policies: [{ name: 'a', authentication: { tokens: [{ id: 'x', hash: SECRET }] } }],
        routes: { '/a': { provider: 'openai', keys: 'k' } },
      },
    ],
    [
      'a secret of a webhook that is a number',
      { alerts: [{ url: `ftp://hooks.example/${SECRET}` }], routes: { '/a': { provider: 'openai', keys: 'k' } } },
    ],
    [
      'a redis URL that is none',
      { redis: [`redis://:${SECRET}@host`], routes: { '/a': { provider: 'openai', keys: 'k' } } },
    ],
    ['a key twice', { routes: { '/a': { provider: 'openai', keys: [SECRET, SECRET] } } }],
    [
      'limits beside a key',
      { routes: { '/a': { provider: 'openai', keys: [{ value: SECRET, limits: { requests: -1, per: '1s' } }] } } },
    ],
    ['a key as the port', { listen: { port: SECRET }, routes: { '/a': { provider: 'openai', keys: [SECRET] } } }],
  ])('quote no secret: %s', async (_, config) => {
    const inCode = await createGateway(config as never).then(
      made => made.close().then(() => undefined),
      (error: Error) => error,
    )
    expect(inCode).toBeInstanceOf(Error)
    const path = join(folder, 'wrong.json')
    writeFileSync(path, JSON.stringify(config))
    const read = await readConfig(path).then(
      ({ config: given, locate }) => createGateway(given).catch(locate),
      error => error,
    )
    for (const error of [inCode, read] as Error[]) expect(`${error.message} ${error.stack}`).not.toContain(SECRET)
  })
})

it('an error that nobody catches ends the exchange in which it was thrown, and no other', async () => {
  const server = await loopback(({ url }) => (url === '/slow' ? { body: 'slow', delay: 300 } : { body: 'x' }))
  const made = await gateway({ routes: { '/api': { upstream: server.url, keys: 'value-one', cache: false } } })
  const slow = fetch(`${made.url}/api/slow`)
  expect(made.contain(new Error('from elsewhere'))).toBe(false)
  // Whatever listens to an event of the pool runs in the context of the request.
  let contained: boolean | undefined
  made.pool('/api').pool.on('request-finished', ({ url }) => {
    if (url.endsWith('/x')) contained = made.contain(new Error('of a listener'))
  })
  await expect(fetch(`${made.url}/api/x`)).rejects.toThrow()
  await vi.waitFor(() => expect(contained).toBe(true))
  expect(await (await slow).text()).toBe('slow')
})
