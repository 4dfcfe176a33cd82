import { AsyncLocalStorage } from 'node:async_hooks'
import { wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const ORIGIN = 'http://api.test'

describe('the caller’s own async context', () => {
  const context = new AsyncLocalStorage<string>()
  /** What ran for a URL in the context of another call, by what it was. */
  const strayed = new Map<string, number>()
  const look = (what: string, url: string) => {
    const isOwn = context.getStore() === url
    strayed.set(what, (strayed.get(what) ?? 0) + (isOwn ? 0 : 1))
  }
  beforeEach(() => strayed.clear())

  async function run(count: number, options: object, init: (index: number) => RequestInit = () => ({})) {
    const base = async (input: string) => {
      look('fetch', input)
      return new Response('')
    }
    const fetch = wrapFetch(base as never, {
      ...{ origins: ORIGIN, keys: ['key-one', 'key-two'], cache: false, limits: { concurrency: 5 } },
      ...options,
    })
    fetch.pool.on('request-finished', ({ url }) => look('request-finished', url))
    const all = await Promise.allSettled(
      Array.from({ length: count }, (_, index) => {
        const url = `${ORIGIN}/${index}`
        return context.run(url, async () => {
          try {
            return await (await fetch(url, init(index))).text()
          } finally {
            look('caller', url)
          }
        })
      }),
    )
    return { fetch, all }
  }

  it.each([10, 1_500, 5_000])(
    'holds for the wrapped fetch and the events of a call, with %i calls in line',
    async count => {
      await run(count, {})
      expect(Object.fromEntries(strayed)).toEqual({ fetch: 0, 'request-finished': 0, caller: 0 })
    },
  )

  const looking =
    <Value>(value: Value) =>
    ({ url }: { url: string }): Value => {
      look('own', url)
      return value
    }

  it.each<[string, object]>([
    [
      '`auth`',
      {
        auth(request: Request) {
          look('own', request.url)
          return request
        },
      },
    ],
    ['`strategy`', { strategy: (keys: { id: string }[], request: { url: string }) => looking(keys[0]!.id)(request) }],
    ['`cost`', { limits: { tokens: 40, per: 50, cost: looking(1) } }],
    ['`shouldRetry`', { retry: { minDelay: 1, shouldRetry: looking(true) } }],
  ])('holds for %s', async (_, options) => {
    const { all } = await run(200, options)
    expect(all.every(({ status }) => status === 'fulfilled')).toBe(true)
    expect(strayed.get('own') ?? 0).toBe(0)
  })

  it('holds for those who give up, at the front of the line and far back', async () => {
    const shared = new AbortController()
    const running = run(3_000, { limits: { requests: 1, per: '1h' }, maxWait: '2h' }, () => ({ signal: shared.signal }))
    await new Promise(resolve => setTimeout(resolve, 20))
    context.run('the one who aborts', () => shared.abort())
    const { all } = await running
    expect(all.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(2_900)
    expect(Object.fromEntries(strayed)).toEqual({ fetch: 0, 'request-finished': 0, caller: 0 })
  })

  it('holds for the event of a call that finds the pool exhausted, and of one that gets a nearly exhausted key', async () => {
    const told: (string | undefined)[] = []
    const base = async () => new Response('')
    const fetch = wrapFetch(base, {
      origins: ORIGIN,
      keys: ['a'],
      cache: false,
      maxWait: 20,
      limits: { requests: 2, per: '1h' },
    })
    fetch.pool.on('pool-exhausted', () => told.push(context.getStore()))
    fetch.pool.on('key-near-exhaustion', () => told.push(context.getStore()))
    for (const name of ['one', 'two', 'three']) await context.run(name, () => fetch(ORIGIN).catch(() => {}))
    expect(told).toEqual(['two', 'three'])
  })
})

describe('the stack of a failure', () => {
  const failing = async () => {
    await null
    throw new TypeError('fetch failed', { cause: new Error('own') })
  }
  const refusing = async () => {
    await null
    return new Response('', { status: 429, headers: { 'retry-after': '3600' } })
  }
  const never = () => new Promise<never>(() => {})
  const full = { limits: { requests: 1, per: '1h' } as const, maxWait: 10 }

  it.each<[string, typeof globalThis.fetch, object, () => RequestInit]>([
    ['of the wrapped fetch', failing, {}, () => ({})],
    ['of the wrapped fetch, beside a signal', failing, {}, () => ({ signal: new AbortController().signal })],
    ['of the wrapped fetch, after retries', failing, { retry: { retries: 1, minDelay: 1 } }, () => ({})],
    ['of the wrapped fetch, with the cache', failing, { cache: true }, () => ({})],
    ['of a pool without a key left', refusing, { maxWait: 0 }, () => ({})],
    ['of a call that waited in vain', async () => new Response(''), full, () => ({})],
    ['of a timeout', never, { timeout: 10 }, () => ({})],
    ['of a timeout of one attempt', never, { timeout: { attempt: 10 } }, () => ({})],
  ])('%s leads to the line that called', async (_, base, options, init) => {
    const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['a'], cache: false, retry: false, ...options })
    async function placeOfTheCall() {
      await fetch(`${ORIGIN}/1`, init())
      return await fetch(`${ORIGIN}/2`, init())
    }
    const error = await placeOfTheCall().catch((error: unknown) => error)
    expect((error as Error).stack).toContain('placeOfTheCall')
  })

  it('of each call that a closed fetch turns away leads to that call', async () => {
    const fetch = wrapFetch(never, { origins: ORIGIN, keys: ['a'] })
    await fetch.close()
    async function placeOfTheCall() {
      return await fetch(ORIGIN)
    }
    const [first, second] = await Promise.all([1, 2].map(() => placeOfTheCall().catch((error: Error) => error)))
    expect((first as Error).stack).toContain('placeOfTheCall')
    expect(first).not.toBe(second)
  })

  it('does not grow where one and the same error is thrown again and again', async () => {
    const error = new TypeError('always the same')
    const base = async () => {
      await null
      throw error
    }
    const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['a'], cache: false, retry: false })
    const lengths = []
    for (let call = 0; call < 3; call++) {
      await fetch(ORIGIN).catch(() => {})
      lengths.push(error.stack!.length)
    }
    expect(new Set(lengths.slice(0)).size).toBe(1)
  })

  it('of an abort is that of the caller’s own reason, which leads to the call too', async () => {
    const fetch = wrapFetch(never, { origins: ORIGIN, keys: ['a'], cache: false })
    const reason = new Error('mine')
    const { stack } = reason
    const controller = new AbortController()
    setTimeout(() => controller.abort(reason), 5)
    await expect(fetch(ORIGIN, { signal: controller.signal })).rejects.toBe(reason)
    expect(reason.stack).toContain(stack)
  })
})

describe('a wrapped fetch that takes no notice of its signal', () => {
  const pending: { resolve(response: Response): void }[] = []
  const deaf = () => new Promise<Response>(resolve => pending.push({ resolve }))
  afterEach(() => void pending.splice(0))

  it.each<[string, object, () => RequestInit, RegExp]>([
    ['a timeout of the call', { timeout: 20 }, () => ({}), /ERR_TIMEOUT/],
    ['a timeout of the attempt', { timeout: { attempt: 20 }, retry: false }, () => ({}), /ERR_TIMEOUT/],
    ['a signal of the caller', {}, () => ({ signal: AbortSignal.timeout(20) }), /TimeoutError/],
  ])('is left by %s, gives its key back, and its late response is cancelled', async (_, options, init, expected) => {
    for (const cache of [true, false]) {
      const fetch = wrapFetch(deaf, { origins: ORIGIN, keys: ['a'], cache, limits: { concurrency: 1 }, ...options })
      const error = await fetch(ORIGIN, init()).catch((error: unknown) => error)
      expect(`${(error as { code: unknown }).code} ${(error as Error).name}`).toMatch(expected)
      expect(fetch.pool.keys()[0]!.inFlight).toBe(0)
      const cancel = vi.fn()
      pending.pop()!.resolve(new Response(new ReadableStream({ cancel })))
      await vi.waitFor(() => expect(cancel).toHaveBeenCalledOnce())
    }
  })
})

describe('a pool around a pool', () => {
  it('takes the inner one’s exhaustion for a failure of the wrapped fetch, and no reason to ask again', async () => {
    let asked = 0
    const refusing = async () => new Response('', { status: 429, headers: { 'retry-after': '3600' } })
    const inner = wrapFetch(refusing, { origins: ORIGIN, keys: ['in'], maxWait: 10 })
    const counted = ((...args: Parameters<typeof inner>) => {
      asked++
      return inner(...args)
    }) as typeof inner
    const outer = wrapFetch(counted, { origins: ORIGIN, keys: ['one', 'two'], maxWait: 50 })
    await expect(outer(ORIGIN)).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
    expect(asked).toBe(1)
    const auth = async (request: Request) => {
      await inner(ORIGIN)
      return request
    }
    const byAuth = wrapFetch(async () => new Response(''), { origins: ORIGIN, keys: ['one', 'two'], auth, maxWait: 50 })
    await expect(byAuth(ORIGIN)).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
  })
})

describe('an error of the pool', () => {
  it.each([1, 2])('can be written to as HTTP clients do, after %i calls', async calls => {
    const base = async () => new Response('{"a":1}', { status: 429, headers: { 'retry-after': '3600' } })
    const fetch = wrapFetch(base, { origins: ORIGIN, keys: ['a'], maxWait: 0 })
    let error: Record<string, unknown> = {}
    for (let call = 0; call < calls; call++) error = await fetch(ORIGIN).catch(error => error)
    const response = error.response as Record<string, unknown> | null
    if (calls === 1) {
      expect(response).toMatchObject({ status: 429 })
      expect((response as unknown as Response).headers.get('retry-after')).toBe('3600')
      expect(await (response as unknown as Response).clone().text()).toBe('{"a":1}')
      for (const name of ['data', 'headers', 'status', 'statusText', 'url', 'body', 'config', 'request']) {
        response![name] = { own: name }
        expect(response![name]).toEqual({ own: name })
      }
    }
    for (const name of ['response', 'config', 'request', 'code', 'message', 'cause', 'retryAt', 'causes']) {
      error[name] = { own: name }
      expect(error[name]).toEqual({ own: name })
    }
  })
})
