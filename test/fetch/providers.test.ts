import { type Provider, wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { recordEvents } from '../helpers/events.js'
import { loopback } from '../helpers/loopback.js'

const json = { 'content-type': 'application/json' }
const body = (value: unknown) => ({ headers: json, body: JSON.stringify(value) })

describe('a provider', () => {
  it('brings its origins, the place of the key, and the fields that it demands', async () => {
    const sent: Request[] = []
    const network: typeof globalThis.fetch = async (input, init) => {
      sent.push(new Request(input, init))
      return Response.json({})
    }
    const fetch = wrapFetch(network, { provider: 'anthropic', keys: ['key-one-anthropic'] })
    await fetch('https://api.anthropic.com/v1/models', { headers: { 'x-api-key': 'unused' } })
    await fetch('https://api.anthropic.com/v1/models', { headers: { 'anthropic-version': '2030-01-01' } })
    await fetch('https://elsewhere.example/')
    expect(sent.map(({ headers }) => [headers.get('x-api-key'), headers.get('anthropic-version')])).toEqual([
      ['key-one-anthropic', '2023-06-01'],
      ['key-one-anthropic', '2030-01-01'],
      [null, null],
    ])
  })

  it('gives way to origins and auth of the user’s own', async () => {
    const server = await loopback(() => ({ status: 200 }))
    const fetch = wrapFetch(globalThis.fetch, {
      provider: 'anthropic',
      origins: server.url,
      auth: 'bearer',
      keys: ['key-one'],
    })
    await fetch(server.url)
    expect(server.received[0]!.headers).toMatchObject({
      authorization: 'Bearer key-one',
      'anthropic-version': '2023-06-01',
    })
    expect(server.received[0]!.headers).not.toHaveProperty('x-api-key')
  })

  it('without origins needs them to be given', () => {
    expect(() => wrapFetch(globalThis.fetch, { provider: 'shopify', keys: ['a'] })).toThrow("Option 'origins'")
    expect(() => wrapFetch(globalThis.fetch, { keys: ['a'] })).toThrow("Option 'origins': expected to be given")
  })

  it('tells a quota from a limit by the body, which the caller still gets whole', async () => {
    const error = { error: { message: 'You exceeded your current quota', code: 'insufficient_quota' } }
    const server = await loopback(({ key }) =>
      key === 'key-one' ? { status: 429, ...body(error) } : { status: 200, ...body({ ok: true }) },
    )
    const fetch = wrapFetch(globalThis.fetch, { provider: 'openai', origins: server.url, keys: ['key-one', 'key-two'] })
    const events = recordEvents(fetch)
    expect(await (await fetch(server.url)).json()).toEqual({ ok: true })
    expect(events.of('key-exhausted')).toMatchObject([{ keyId: 'key-1', cause: 'quota', until: null, status: 429 }])

    const alone = wrapFetch(globalThis.fetch, {
      provider: 'openai',
      origins: server.url,
      keys: ['key-one'],
      onExhausted: 'respond',
      maxWait: 0,
    })
    const response = await alone(server.url)
    expect([response.status, await response.json()]).toEqual([429, error])
  })

  it('that answers errors with 200 is understood: limits rotate, bad keys are disabled, the rest is an answer', async () => {
    const results: Record<string, unknown> = {
      'key-one': { status: '0', message: 'NOTOK', result: 'Max rate limit reached' },
      'key-two': { status: '0', message: 'NOTOK', result: 'Invalid API Key' },
      'key-three': { status: '0', message: 'No transactions found', result: [] },
    }
    const server = await loopback(({ url }) => body(results[new URL(url, 'http://x').searchParams.get('apikey')!]))
    const fetch = wrapFetch(globalThis.fetch, {
      provider: 'etherscan',
      origins: server.url,
      keys: ['key-one', 'key-two', 'key-three'],
    })
    const events = recordEvents(fetch)
    const response = await fetch(`${server.url}/v2/api?module=account`)
    expect(await response.json()).toEqual(results['key-three'])
    expect(events.of('key-exhausted')).toMatchObject([{ keyId: 'key-1', cause: 'rate-limit', status: 200 }])
    expect(events.of('key-disabled')).toMatchObject([{ keyId: 'key-2', cause: 'invalid-key', status: 200 }])
  })

  it('that answers errors with 200 does not hold up answers that are large or slow', async () => {
    const server = await loopback(({ url }) => {
      if (url.startsWith('/large')) return body({ status: '1', result: `rate limit ${'x'.repeat(100_000)}` })
      return response => {
        response.writeHead(200, json).write('{"status":"1",')
        setTimeout(() => response.end('"result":"late"}'), 700)
      }
    })
    const fetch = wrapFetch(globalThis.fetch, { provider: 'etherscan', origins: server.url, keys: ['key-one'] })
    expect((await (await fetch(`${server.url}/large`)).text()).length).toBeGreaterThan(100_000)
    const response = await fetch(`${server.url}/slow`)
    expect(await response.json()).toEqual({ status: '1', result: 'late' })
  })

  it('of the user’s own is described in the same words', async () => {
    const provider: Provider = {
      name: 'Weather of ours',
      auth: { header: 'x-weather-key' },
      headers: { 'x-version': '3' },
      signals: [
        { status: 444, code: 'resting', means: 'rate-limit', wait: '90s' },
        { status: 444, text: /bankrupt/, means: 'quota', wait: { next: 'day' } },
        { status: 403, headers: { 'x-why': /^key/ }, means: 'invalid-key' },
      ],
    }
    const replies = {
      'key-one': { status: 444, ...body({ reason: 'resting' }) },
      'key-two': { status: 444, ...body({ message: 'we are bankrupt' }) },
      'key-three': { status: 403, headers: { 'x-why': 'key: wrong' } },
      'key-four': { status: 200 },
    }
    const server = await loopback(({ headers }) => replies[headers['x-weather-key'] as keyof typeof replies])
    const fetch = wrapFetch(globalThis.fetch, { provider, origins: server.url, keys: Object.keys(replies) })
    expect((await fetch(server.url)).status).toBe(200)
    const [one, two, three, four] = fetch.pool.keys()
    expect([one, two, three, four].map(key => [key!.state, key!.cause])).toEqual([
      ['cooling', 'rate-limit'],
      ['cooling', 'quota'],
      ['disabled', 'invalid-key'],
      ['ready', null],
    ])
    const seconds = (one!.until!.getTime() - Date.now()) / 1000
    expect(Math.round(seconds / 10)).toBe(9)
  })

  it.each([
    [{ provider: 'opnai' }, "Option 'provider': expected a provider"],
    [{ provider: { signals: [] } }, "Option 'provider.name'"],
    [{ provider: { name: 'x', signals: [{ means: 'limited' }] } }, "Option 'provider.signals[0].means'"],
    [{ provider: { name: 'x', signals: [{ means: 'quota', wait: 'soon' }] } }, "Option 'provider.signals[0].wait'"],
    [{ provider: { name: 'x', signals: [{ means: 'quota', status: 42 }] } }, "Option 'provider.signals[0].status'"],
    [{ provider: { name: 'x', origins: 'example.com' } }, "Option 'provider.origins'"],
    [{ scope: 'modle' }, "Option 'scope': expected 'key', 'model', 'route' or a function, got 'modle'"],
    [{ auth: { path: '/v2/key' } }, "Option 'auth.path'"],
  ])('that can’t be meant is refused by name: %j', (options, message) => {
    const all = { origins: 'https://api.example.com', keys: ['a'], ...options } as never
    expect(() => wrapFetch(globalThis.fetch, all)).toThrow(message)
  })
})

describe('a key in the path', () => {
  const secret = 'secret-key-in-a-path'
  const wrap = (url: string, path: string | string[]) =>
    wrapFetch(globalThis.fetch, { origins: url, keys: [secret], auth: { path }, cache: false })

  it.each([
    ['/v2', `/v2/${secret}`],
    ['/v2/', `/v2/${secret}`],
    ['/v2/unused', `/v2/${secret}`],
    ['/v2/unused?a=1', `/v2/${secret}?a=1`],
    ['/nft/v3/unused/getNFTs?owner=x', `/nft/v3/${secret}/getNFTs?owner=x`],
  ])('%s goes out as %s', async (path, sent) => {
    const server = await loopback(() => ({ status: 200 }))
    const response = await wrap(server.url, ['/v2/{key}', '/nft/v3/{key}'])(server.url + path)
    expect(server.received.map(({ url }) => url)).toEqual([sent])
    expect(response.url).not.toContain(secret)
  })

  it('is in no event, and a request without a place for it is refused', async () => {
    const server = await loopback(() => ({ status: 200 }))
    const fetch = wrap(server.url, '/v2/{key}')
    const events = recordEvents(fetch)
    await fetch(`${server.url}/v2/${secret}`)
    expect(JSON.stringify(events.all)).not.toContain(secret)
    await expect(fetch(`${server.url}/v3/x`)).rejects.toThrow("Option 'auth.path'")
    expect(server.received).toHaveLength(1)
  })
})
