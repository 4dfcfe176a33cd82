import { type Options, wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const ORIGIN = 'https://api.example.com'

describe('diagnose()', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())

  type Answer = (key: string, request: Request) => Response
  function pool(answer: Answer, options: Partial<Options> = {}) {
    const network: typeof globalThis.fetch = async (input, init) => {
      const key = new Headers(init?.headers).get('authorization')!.slice('Bearer '.length)
      return answer(key, new Request(input, init))
    }
    return wrapFetch(network, {
      origins: ORIGIN,
      keys: ['a', 'b', 'c'],
      cache: false,
      retry: false,
      ...options,
    } as Options)
  }
  async function use(
    fetch: typeof globalThis.fetch,
    count: number,
    every: number,
    path = (index: number) => `/${index}`,
  ) {
    for (let index = 0; index < count; index++) {
      const call = fetch(ORIGIN + path(index)).catch(() => {})
      await vi.advanceTimersByTimeAsync(every)
      await call
    }
  }
  const ok: Answer = () => new Response('ok')
  /** A server that lets so many requests of a key pass in any minute. */
  function limiting(limit: number): Answer {
    const counted = new Map<string, number[]>()
    return key => {
      const now = Date.now()
      const recent = (counted.get(key) ?? []).filter(at => at > now - 60_000)
      counted.set(key, recent)
      if (recent.length >= limit) {
        const wait = Math.ceil((recent[0]! + 60_000 - now) / 1000)
        return new Response(null, { status: 429, headers: { 'retry-after': String(wait) } })
      }
      recent.push(now)
      return new Response('ok')
    }
  }

  it('says that all is well, or that nothing was sent yet', async () => {
    const fetch = pool(ok)
    expect(fetch.pool.diagnose()).toMatchObject({ findings: [], text: 'Nothing was sent yet.' })
    await use(fetch, 10, 1_000)
    expect(fetch.pool.diagnose().findings).toEqual([])
    expect(fetch.pool.diagnose().text).toMatch(/^All is well/)
  })

  it('finds limits that were declared too high', async () => {
    const fetch = pool(limiting(10), { keys: ['a'], limits: { requests: 60, per: '1m' }, maxWait: 0 })
    await use(fetch, 100, 2_000)
    const [finding] = fetch.pool.diagnose().findings
    expect(finding).toMatchObject({ kind: 'rate-limits', keyIds: ['key-1'], evidence: { declared: '60 in 1m' } })
    expect(finding!.advice).toMatch(/^declare \d+ in .* instead of 60 in 1m/)
  })

  it('finds that there are too few keys, and how many more it takes', async () => {
    const fetch = pool(ok, { limits: { requests: 10, per: '1m' }, maxWait: 0 })
    for (let minute = 0; minute < 3; minute++) {
      const calls = Promise.all(
        Array.from({ length: 70 }, (_, index) => fetch(`${ORIGIN}/${minute}/${index}`).catch(() => {})),
      )
      await vi.advanceTimersByTimeAsync(60_000)
      await calls
    }
    const finding = fetch.pool.diagnose().findings.find(({ kind }) => kind === 'rate-limits')
    expect(finding).toMatchObject({ evidence: { callsInBusiestMinute: 70, allowedInAMinute: 30 } })
    expect(finding!.advice).toContain('add 4 keys')
  })

  it('finds bursts that the limits don’t allow, though there are few requests on the whole', async () => {
    const fetch = pool(ok, { limits: { requests: 2, per: '1s' } })
    const calls = Promise.all(Array.from({ length: 30 }, (_, index) => fetch(`${ORIGIN}/${index}`)))
    await vi.advanceTimersByTimeAsync(20_000)
    await calls
    expect(fetch.pool.diagnose().findings).toMatchObject([{ kind: 'bursts', evidence: { callsInBusiestSecond: 30 } }])
  })

  it('finds one request that is sent again and again, without a key’s value in it', async () => {
    const fetch = pool(() => new Response('ok'), { auth: 'bearer' })
    await use(fetch, 60, 500, index => (index % 3 === 0 ? `/other/${index}` : '/status?api_key=a&x=1'))
    const { findings, text } = fetch.pool.diagnose()
    expect(findings.find(({ kind }) => kind === 'hammering')).toMatchObject({
      evidence: { request: `GET ${ORIGIN}/status?x=1`, times: 40, ofAllSent: '66.7%' },
    })
    expect(text).toContain('look for a loop')
  })

  it('finds answers that could have been kept, and for how long', async () => {
    const fetch = pool(ok)
    await use(fetch, 100, 1_000, index => `/city/${index % 20}`)
    const finding = fetch.pool.diagnose().findings.find(({ kind }) => kind === 'insufficient-caching')
    expect(finding).toMatchObject({
      evidence: { gets: 100, repeated: 80, repeatedShare: '80%', savedByTtl: '80 with 1m' },
    })
    expect(finding!.advice).toContain("ttl: '1m'")
  })

  it('finds trouble of the service, and blames no key for it', async () => {
    let count = 0
    const fetch = pool(() => new Response(null, { status: ++count % 2 ? 503 : 200 }))
    await use(fetch, 40, 1_000)
    expect(fetch.pool.diagnose().findings).toMatchObject([
      { kind: 'provider-trouble', keyIds: [], evidence: { troubled: 20, share: '50%' } },
    ])
  })

  it('finds used-up quotas and bad keys, in order of weight', async () => {
    const fetch = pool(
      key =>
        key === 'a'
          ? new Response(null, { status: 401 })
          : key < 'd'
            ? new Response(null, { status: 402 })
            : new Response('ok'),
      { keys: ['a', 'b', 'c', 'd'] },
    )
    await use(fetch, 10, 1_000)
    const { findings, text } = fetch.pool.diagnose()
    expect(findings.map(({ kind, keyIds }) => [kind, keyIds])).toEqual([
      ['quota', ['key-2', 'key-3']],
      ['invalid-keys', ['key-1']],
    ])
    expect(text).toMatch(
      /^1\. The quota of some keys is used up\. \(50%\)\n {3}keys: key-2, key-3\n {3}evidence: .*\n {3}to do: /,
    )
  })

  it('finds keys that share one limit', async () => {
    const fetch = pool(() => new Response(null, { status: 429, headers: { 'retry-after': '30' } }), { maxWait: 0 })
    await use(fetch, 1, 100)
    expect(fetch.pool.diagnose().findings.find(({ kind }) => kind === 'shared-limit')).toMatchObject({
      keyIds: ['key-1', 'key-2'],
      advice: expect.stringContaining('group'),
    })
  })

  const kindsOf = (fetch: ReturnType<typeof pool>) => fetch.pool.diagnose().findings.map(({ kind }) => kind)

  it('finds an address that is limited, and says that more keys change nothing', async () => {
    const provider = { name: 'one', signals: [{ status: 429, means: 'rate-limit', scope: 'address' }] } as const
    const fetch = pool(() => new Response(null, { status: 429, headers: { 'retry-after': '3' } }), {
      ...{ provider, maxWait: 0 },
    })
    await use(fetch, 10, 5_000)
    expect(fetch.pool.diagnose().findings.find(({ kind }) => kind === 'address-limit')).toMatchObject({
      summary: 'The service limits the address that all keys are used from: other keys do not help.',
      keyIds: [],
      advice: expect.stringContaining('more keys change nothing'),
    })
    expect(kindsOf(fetch)).not.toContain('shared-limit')
  })

  it('finds a model that is overloaded at the service, by its name', async () => {
    const upstream = { error: { code: 429, metadata: { raw: 'a/b is temporarily rate-limited upstream.' } } }
    const fetch = pool(() => Response.json(upstream, { status: 429, headers: { 'retry-after': '2' } }), {
      ...{ provider: 'openrouter', maxWait: 0 },
    })
    const body = JSON.stringify({ model: 'a/b' })
    await fetch(ORIGIN, { method: 'POST', body }).catch(() => {})
    const finding = fetch.pool.diagnose().findings.find(({ kind }) => kind === 'limited-resource')
    expect(finding).toMatchObject({ keyIds: [], evidence: { refusals: 1, resources: 'a/b' } })
    expect(finding!.summary).toBe('‘a/b’ is limited or overloaded at the service, whatever the key.')
  })

  it('finds requests that are refused for what they ask', async () => {
    const fetch = pool((_, { url }) => new Response('no', { status: url.endsWith('0') ? 422 : 400 }))
    await use(fetch, 10, 100)
    expect(fetch.pool.diagnose().findings).toMatchObject([
      { kind: 'request-errors', weight: 1, evidence: { errors: 10, attempts: 10, byStatus: '400: 9 422: 1' } },
    ])
  })

  it('takes what is not there for no mistake', async () => {
    const fetch = pool(() => new Response('no', { status: 404 }))
    await use(fetch, 10, 100)
    expect(kindsOf(fetch)).toEqual([])
  })

  it('finds an endpoint of a key that does not answer', async () => {
    const keys = ['a', { value: 'b', baseUrl: 'https://dead.example.com' }]
    const dead = () => {
      throw Object.assign(new TypeError('fetch failed'), { cause: { code: 'ECONNREFUSED' } })
    }
    const fetch = pool((_, { url }) => (url.startsWith('https://dead') ? dead() : new Response('ok')), { keys })
    await use(fetch, 10, 100)
    expect(fetch.pool.diagnose().findings.find(({ kind }) => kind === 'dead-endpoint')).toMatchObject({
      keyIds: ['key-2'],
      evidence: { endpoints: 'https://dead.example.com/' },
    })
  })

  it('finds the models whose quota is used up', async () => {
    const fetch = pool(
      () =>
        Response.json(
          { error: { message: 'limit reached', metadata: {} }, code: 'openrouter_free_tier_daily' },
          { status: 429 },
        ),
      { provider: 'openrouter', maxWait: 0 },
    )
    await fetch(ORIGIN, { method: 'POST', body: '{"model":"a:free"}' }).catch(() => {})
    const finding = fetch.pool.diagnose().findings.find(({ kind }) => kind === 'quota')
    expect(finding).toMatchObject({ evidence: { parts: 'free models' } })
    expect(finding!.summary).toBe('The quota of every key is used up for some of what they may ask.')
  })

  it('names limits of tokens that nobody declared, and refusals that don’t say for how long', async () => {
    const tokens = { error: { type: 'rate_limit_error', message: 'over the limit of 5,000 input tokens per minute' } }
    const fetch = pool(() => Response.json(tokens, { status: 429 }), { maxWait: 0 })
    await use(fetch, 3, 1_000)
    const finding = fetch.pool.diagnose().findings.find(({ kind }) => kind === 'rate-limits')
    expect(finding!.evidence).toMatchObject({ refusedForTokens: expect.any(Number) })
    expect(finding!.evidence).toMatchObject({ refusedWithoutSayingForHowLong: expect.any(Number) })
    expect(finding!.advice).toMatch(/^declare the limit of tokens/)
  })

  it('says how many retries a service in trouble was spared', async () => {
    const retry = { retries: 1, minDelay: 1, maxDelay: 1, budget: 0 }
    const fetch = pool(() => new Response(null, { status: 503 }), { retry })
    await use(fetch, 5, 100)
    const finding = fetch.pool.diagnose().findings.find(({ kind }) => kind === 'provider-trouble')
    expect(finding!.evidence).toMatchObject({ retriesOverBudget: 5 })
  })
})
