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
})
