import { type ProviderName, wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'

const ORIGIN = 'http://api.test'

/** What a service with these keys was sent, by the places in which services look for keys. */
async function credentialsOf(provider: ProviderName | undefined, init: RequestInit, path = '/v1/x') {
  let seen: Record<string, string | null> = {}
  const base = async (input: unknown, { headers }: RequestInit = {}) => {
    const sent = new Headers(headers)
    const names = ['authorization', 'x-api-key', 'api-key', 'x-goog-api-key']
    const all = names
      .map(name => [name, sent.get(name)])
      .concat([['key', new URL(String(input)).searchParams.get('key')]])
    seen = Object.fromEntries(all.filter(([, value]) => value !== null))
    return new Response('')
  }
  const fetch = wrapFetch(base as never, { provider, origins: ORIGIN, keys: ['the-key'], cache: false })
  await fetch(ORIGIN + path, init)
  return seen
}

describe('the credentials of an SDK', () => {
  const dummies = { authorization: 'Bearer dummy', 'x-api-key': 'dummy', 'api-key': 'dummy', 'x-goog-api-key': 'dummy' }

  it.each<[ProviderName, Record<string, string>]>([
    ['openai', { authorization: 'Bearer the-key' }],
    ['anthropic', { 'x-api-key': 'the-key' }],
    ['azure-openai', { 'api-key': 'the-key' }],
    ['gemini', { 'x-goog-api-key': 'the-key' }],
  ])('stay behind where the service is known: %s', async (provider, expected) => {
    expect(await credentialsOf(provider, { headers: dummies })).toEqual(expected)
    for (const [name, value] of Object.entries(dummies)) {
      expect(await credentialsOf(provider, { headers: { [name]: value } })).toEqual(expected)
    }
  })

  it('stay behind in the query too, where the service takes them there', async () => {
    expect(await credentialsOf('gemini', {}, '/v1/x?key=dummy&a=b')).toEqual({ 'x-goog-api-key': 'the-key' })
    expect(await credentialsOf('openai', {}, '/v1/x?key=of-a-map')).toMatchObject({ key: 'of-a-map' })
  })

  it('go along where the service is not known, but for the place of the key', async () => {
    expect(await credentialsOf(undefined, { headers: dummies })).toEqual({
      ...dummies,
      authorization: 'Bearer the-key',
    })
  })
})

describe('the last word, with `onExhausted: respond`', () => {
  const refusing = (status: number) => async () =>
    new Response('{"error":{"message":"Rate limit reached"}}', { status, headers: { 'retry-after': '60' } })

  it.each(['first', 'second'])('tells SDKs not to ask again by themselves, on the %s call', async which => {
    const fetch = wrapFetch(refusing(429), { origins: ORIGIN, keys: ['a', 'b'], maxWait: 0, onExhausted: 'respond' })
    if (which === 'second') await fetch(ORIGIN)
    const response = await fetch(ORIGIN)
    expect(response.status).toBe(429)
    expect(response.headers.get('x-should-retry')).toBe('false')
    expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(50)
  })

  it.each<[ProviderName | undefined, unknown]>([
    [
      undefined,
      {
        ...{ type: 'about:blank', title: 'Too Many Requests', status: 429, detail: expect.stringMatching(/No key/) },
        ...{ code: 'ERR_POOL_EXHAUSTED', message: expect.stringMatching(/No key/), retryAt: expect.any(String) },
        causes: [{ keyId: 'key-1', cause: 'rate-limit', until: expect.any(String) }],
        error: { type: 'rate_limit_error', code: 'ERR_POOL_EXHAUSTED', message: expect.stringMatching(/No key/) },
      },
    ],
    ['openai', { error: { type: 'rate_limit_error', code: 'ERR_POOL_EXHAUSTED', message: expect.any(String) } }],
    [
      'anthropic',
      { type: 'error', error: { type: 'rate_limit_error', message: expect.stringMatching(/No key is usable/) } },
    ],
    ['gemini', { error: { code: 429, status: 'RESOURCE_EXHAUSTED', message: expect.any(String) } }],
  ])('has the shape that the SDK of the service reads: %s', async (provider, expected) => {
    const options = { provider, origins: ORIGIN, keys: ['a'], maxWait: 0, onExhausted: 'respond' } as const
    const fetch = wrapFetch(refusing(429), options)
    await fetch(ORIGIN)
    const response = await fetch(ORIGIN)
    expect(await response.json()).toMatchObject(expected as object)
    expect(response.headers.get('content-type')).toBe(provider ? 'application/json' : 'application/problem+json')
  })
})

describe('a busy key', () => {
  it.each(['key', 'model', 'route'] as const)(
    'is waited for, while another is bad or rests, with scope %s',
    async scope => {
      for (const other of [
        new Response('{"error":{"code":"invalid_api_key"}}', { status: 401 }),
        new Response('{}', { status: 429, headers: { 'retry-after': '120' } }),
      ]) {
        const base = async (_: unknown, { headers }: RequestInit = {}) => {
          await new Promise(resolve => setTimeout(resolve, 20))
          return new Headers(headers).get('authorization') === 'Bearer key-other' ? other.clone() : new Response('{}')
        }
        const options = {
          scope,
          origins: ORIGIN,
          keys: ['key-good', 'key-other'],
          limits: { concurrency: 1 },
          maxWait: '10s',
          cache: false,
        } as const
        const fetch = wrapFetch(base, options)
        const calls = Array.from({ length: 6 }, async (_, index) => {
          const response = await fetch(`${ORIGIN}/v1/chat`, {
            method: 'POST',
            body: JSON.stringify({ model: 'm', index }),
          })
          await response.text()
          return response.status
        })
        expect(await Promise.all(calls)).toEqual([200, 200, 200, 200, 200, 200])
      }
    },
  )
})

describe('an error with which a success begins', () => {
  const sse = (...lines: string[]) => `${lines.join('\n')}\n\n`
  const good = 'data: {"ok":true}\n\n'

  it.each<[ProviderName | undefined, string, string, { rotates: boolean }]>([
    [
      'anthropic',
      'text/event-stream',
      sse('event: error', 'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'),
      { rotates: false },
    ],
    [
      'openrouter',
      'text/event-stream',
      `: PROCESSING\n\n${sse('data: {"choices":[],"error":{"message":"Provider returned error","code":429}}')}`,
      { rotates: false },
    ],
    [
      'groq',
      'text/event-stream',
      sse('event: error', 'data: {"error":{"message":"x","type":"tokens","code":"rate_limit_exceeded"}}'),
      { rotates: true },
    ],
    [
      undefined,
      'text/event-stream',
      sse('data: {"error":{"message":"Rate limit reached","code":429}}'),
      { rotates: true },
    ],
    [
      'openrouter',
      'application/json',
      '{"id":"1","error":{"message":"x is temporarily rate-limited upstream","code":429}}',
      { rotates: false },
    ],
    [
      'openrouter',
      'application/json',
      '{"error":{"message":"Upstream error","code":502},"id":"1"}',
      { rotates: false },
    ],
  ])('is handled as the status that it stands for: %s, %s, %j', async (provider, type, body, { rotates }) => {
    const keys: string[] = []
    const base = async (_: unknown, { headers }: RequestInit = {}) => {
      keys.push(new Headers(headers).get('authorization') ?? new Headers(headers).get('x-api-key')!)
      return new Response(keys.length === 1 ? body : good, { headers: { 'content-type': type } })
    }
    const retry = { methods: ['POST'], minDelay: 1 }
    const fetch = wrapFetch(base as never, { provider, origins: ORIGIN, keys: ['one', 'two'], retry, cache: false })
    expect(await (await fetch(ORIGIN, { method: 'POST', body: '{"stream":true}' })).text()).toBe(good)
    expect(keys).toHaveLength(2)
    if (rotates) expect(keys[0]).not.toBe(keys[1])
  })

  it('is the caller’s to see where it comes after output, or where it is the request’s own', async () => {
    for (const body of [
      'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: {"error":{"message":"Overloaded","code":529}}\n\n',
      'data: {"error":{"type":"invalid_request_error","message":"no"}}\n\n',
      'data: {"error":null,"choices":[]}\n\n',
    ]) {
      let sent = 0
      const base = async () => {
        sent++
        return new Response(body, { headers: { 'content-type': 'text/event-stream' } })
      }
      const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['a', 'b'], retry: { methods: ['POST'], minDelay: 1 } })
      expect(await (await fetch(ORIGIN, { method: 'POST', body: '{}' })).text()).toBe(body)
      expect(sent).toBe(1)
      expect(fetch.pool.keys().every(({ state }) => state === 'ready')).toBe(true)
    }
  })
})

describe('the rate limit headers of one key', () => {
  const base = async () =>
    new Response('ok', {
      headers: {
        'x-ratelimit-remaining': '0',
        'x-ratelimit-reset-after': '5',
        ratelimit: '"a";r=0;t=5',
        'anthropic-ratelimit-requests-remaining': '0',
        'x-note': '1',
      },
    })

  it('are taken off responses where that is asked for, and the pool still reads them', async () => {
    const options = { origins: ORIGIN, keys: ['a', 'b'], cache: false } as const
    const fetch = wrapFetch(base, { ...options, hideRateLimitHeaders: true })
    const response = await fetch(ORIGIN)
    expect([...response.headers.keys()].filter(name => name.includes('ratelimit'))).toEqual([])
    expect(response.headers.get('x-note')).toBe('1')
    expect(await response.clone().text()).toBe('ok')
    expect(fetch.pool.keys()[0]!.limits.length).toBeGreaterThan(0)
    expect((await wrapFetch(base, options)(ORIGIN)).headers.get('x-ratelimit-remaining')).toBe('0')
  })
})
