import { type KeyInput, wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { recordEvents } from '../helpers/events.js'

const ORIGIN = 'https://api.example.com'

function network(answer: (key: string) => Response | Promise<Response> = () => new Response('ok')) {
  const used: string[] = []
  const fetch = (async (input: RequestInfo | URL, init?: RequestInit) => {
    const key = new Request(input, init).headers.get('authorization')!.slice(7)
    used.push(key)
    return answer(key)
  }) as typeof globalThis.fetch
  return { used, fetch }
}

const count = (used: readonly string[]) =>
  Object.fromEntries([...new Set(used)].sort().map(key => [key, used.filter(each => each === key).length]))

describe('a strategy', () => {
  async function use(
    strategy: 'least-loaded' | 'round-robin' | 'weighted' | 'fill-first' | 'random',
    keys: KeyInput[],
    calls: number,
  ) {
    const { used, fetch } = network()
    const pooled = wrapFetch(fetch, { origins: ORIGIN, keys, strategy, cache: false })
    for (let index = 0; index < calls; index++) await pooled(ORIGIN)
    return used
  }

  it('of round-robin takes each in its turn', async () => {
    expect(await use('round-robin', ['a', 'b', 'c'], 7)).toEqual(['a', 'b', 'c', 'a', 'b', 'c', 'a'])
  })

  it('of fill-first stays with the first for as long as it lasts', async () => {
    const first = { value: 'a', limits: { requests: 3, per: '1h' } }
    expect(await use('fill-first', [first, 'b'], 5)).toEqual(['a', 'a', 'a', 'b', 'b'])
  })

  it('of weighted shares by weight, evenly spread', async () => {
    const used = await use(
      'weighted',
      [
        { value: 'a', weight: 3 },
        { value: 'b', weight: 1 },
      ],
      40,
    )
    expect(count(used)).toEqual({ a: 30, b: 10 })
    for (let from = 0; from < 40; from += 4) expect(count(used.slice(from, from + 4)).a).toBeGreaterThanOrEqual(2)
  })

  it('of random uses all', async () => {
    const used = await use('random', ['a', 'b', 'c'], 300)
    for (const key of ['a', 'b', 'c']) expect(count(used)[key]).toBeGreaterThan(50)
  })

  it('of least-loaded takes the one with the fewest requests in flight', async () => {
    const held: (() => void)[] = []
    const { used, fetch } = network(key =>
      key === 'a' ? new Promise(resolve => held.push(() => resolve(new Response()))) : new Response(),
    )
    const pooled = wrapFetch(fetch, { origins: ORIGIN, keys: ['a', 'b'], cache: false })
    const slow = pooled(ORIGIN)
    for (let index = 0; index < 5; index++) await pooled(ORIGIN)
    expect(used).toEqual(['a', 'b', 'b', 'b', 'b', 'b'])
    held[0]!()
    await slow
  })

  it('of the user’s own is offered the usable keys and the request', async () => {
    const { used, fetch } = network()
    const strategy = vi.fn(
      (usable: readonly { id: string; tags: readonly string[] }[]) =>
        usable.find(({ tags }) => tags.includes('eu'))!.id,
    )
    const pooled = wrapFetch(fetch, { origins: ORIGIN, keys: ['a', { value: 'b', tags: ['eu'] }, 'c'], strategy })
    pooled.pool.disable('key-3')
    await pooled(`${ORIGIN}/x`, { method: 'POST' })
    expect(used).toEqual(['b'])
    expect(strategy.mock.calls[0]![0].map(({ id }) => id)).toEqual(['key-1', 'key-2'])
    expect((strategy.mock.calls[0] as unknown[])[1]).toEqual({ method: 'POST', url: `${ORIGIN}/x` })
  })

  it('of the user’s own that chooses no key fails its request only', async () => {
    const { fetch } = network()
    const pooled = wrapFetch(fetch, { origins: ORIGIN, keys: ['a'], strategy: () => 'nobody' })
    await expect(pooled(ORIGIN)).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'strategy' })
  })

  it('of any kind uses keys of a higher priority first', async () => {
    const keys = ['spare', { value: 'main', priority: 1, limits: { requests: 2, per: '1h' } }]
    expect(await use('least-loaded', keys, 4)).toEqual(['main', 'main', 'spare', 'spare'])
  })
})

describe('keys while requests run', () => {
  it('can be added, and requests that wait go on with them', async () => {
    const { used, fetch } = network()
    const pooled = wrapFetch(fetch, {
      origins: ORIGIN,
      keys: ['a'],
      limits: { requests: 1, per: '1h' },
      cache: false,
      maxWait: '2h',
    })
    await pooled(ORIGIN)
    const waiting = pooled(ORIGIN)
    expect(pooled.pool.add({ value: 'b', id: 'second' })).toBe('second')
    await waiting
    expect(used).toEqual(['a', 'b'])
    await pooled.close()
  })

  it('can be removed, disabled, enabled and reset', async () => {
    const { used, fetch } = network(key => new Response(null, { status: key === 'c' ? 401 : 200 }))
    const pooled = wrapFetch(fetch, { origins: ORIGIN, keys: ['a', 'b', 'c'], strategy: 'fill-first', cache: false })
    const events = recordEvents(pooled)
    pooled.pool.disable('key-1')
    await pooled(ORIGIN)
    pooled.pool.enable('key-1')
    await pooled(ORIGIN)
    pooled.pool.remove('key-1')
    pooled.pool.remove('key-2')
    await expect(pooled(ORIGIN)).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
    pooled.pool.reset('key-3')
    expect(pooled.pool.keys()).toMatchObject([{ id: 'key-3', state: 'ready', lastCause: null }])
    expect(used).toEqual(['b', 'a', 'c'])
    expect(events.of('key-disabled')).toMatchObject([
      { keyId: 'key-1', cause: 'disabled', status: null },
      { keyId: 'key-3', cause: 'invalid-key', status: 401 },
    ])
    expect(events.of('key-recovered')).toMatchObject([
      { keyId: 'key-1', cause: 'disabled' },
      { keyId: 'key-3', cause: 'invalid-key' },
    ])
    expect(() => pooled.pool.remove('key-1')).toThrow(expect.objectContaining({ code: 'ERR_UNKNOWN_KEY' }))
    for (const action of ['disable', 'enable', 'reset'] as const) {
      expect(() => pooled.pool[action]('nobody')).toThrow(expect.objectContaining({ code: 'ERR_UNKNOWN_KEY' }))
    }
  })

  it('that can’t go where a request goes are not waited for', async () => {
    const { fetch } = network()
    const keys = [{ value: 'a', baseUrl: 'https://eu.example.com' }]
    const pooled = wrapFetch(fetch, { origins: [ORIGIN, 'https://other.example.com'], keys })
    await expect(pooled('https://other.example.com/')).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
    expect((await pooled(ORIGIN)).status).toBe(200)
  })

  it('removed with requests in line sends them away when none is left', async () => {
    const { fetch } = network()
    const pooled = wrapFetch(fetch, {
      origins: ORIGIN,
      keys: ['a'],
      limits: { requests: 1, per: '1h' },
      cache: false,
      maxWait: '2h',
    })
    await pooled(ORIGIN)
    const waiting = pooled(ORIGIN)
    pooled.pool.remove('key-1')
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED', message: 'The pool has no keys.' })
  })

  it('of a function are asked for again by refresh, and those that stay keep their state', async () => {
    const { used, fetch } = network(
      key => new Response(null, key === 'a' ? { status: 429, headers: { 'retry-after': '60' } } : {}),
    )
    let keys: KeyInput[] = ['a', 'b']
    const pooled = wrapFetch(fetch, { origins: ORIGIN, keys: async () => keys, strategy: 'fill-first', cache: false })
    await pooled(ORIGIN)
    expect(pooled.pool.keys()).toMatchObject([
      { id: 'key-1', state: 'cooling' },
      { id: 'key-2', state: 'ready' },
    ])
    keys = [{ value: 'a', weight: 5 }, 'c']
    await pooled.pool.refresh()
    expect(pooled.pool.keys()).toMatchObject([
      { id: 'key-1', state: 'cooling', weight: 5 },
      { id: 'key-3', state: 'ready' },
    ])
    await pooled(ORIGIN)
    expect(used).toEqual(['a', 'b', 'c'])
  })

  it('of a function may change names and limits, all or nothing', async () => {
    const { fetch } = network(
      key => new Response(null, key === 'a' ? { status: 429, headers: { 'retry-after': '60' } } : {}),
    )
    const limits = () => ({ tokens: 5, per: '1h', cost: () => 1 }) as const
    let keys: KeyInput[] = [
      { value: 'a', id: 'one', limits: limits() },
      { value: 'b', id: 'two', limits: limits() },
    ]
    const pooled = wrapFetch(fetch, { origins: ORIGIN, keys: () => keys, strategy: 'fill-first', cache: false })
    pooled.pool.add({ value: 'own', id: 'mine' })
    await pooled(ORIGIN)
    keys = [
      { value: 'a', id: 'one', limits: limits() },
      { value: 'b', id: 'two', limits: limits() },
    ]
    await pooled.pool.refresh()
    expect(pooled.pool.keys()[0]).toMatchObject({ id: 'one', state: 'cooling', limits: [{ remaining: 4 }] })
    keys = [{ value: 'c', id: 'mine' }]
    await expect(pooled.pool.refresh()).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'keys[0].id' })
    keys = []
    await expect(pooled.pool.refresh()).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION', option: 'keys' })
    expect(
      pooled.pool
        .keys()
        .map(({ id }) => id)
        .sort(),
    ).toEqual(['mine', 'one', 'two'])
    keys = [
      { value: 'a', id: 'two', group: 'g', limits: { requests: 9, per: '1h' } },
      { value: 'b', id: 'one', group: 'g', limits: { requests: 9, per: '1h' } },
    ]
    await pooled.pool.refresh()
    expect(
      pooled.pool
        .keys()
        .map(({ id }) => id)
        .sort(),
    ).toEqual(['mine', 'one', 'two'])
    keys = keys.map(key => ({ ...(key as object), limits: { requests: 3, per: '1h' } }) as KeyInput)
    await pooled.pool.refresh()
    expect(
      pooled.pool
        .keys()
        .filter(({ group }) => group === 'g')
        .map(({ remaining }) => remaining),
    ).toEqual([3, 3])
  })

  it('of a function that fails are a clear error, and asked for again by the next request', async () => {
    const { fetch } = network()
    const load = vi
      .fn<() => Promise<KeyInput[]>>()
      .mockRejectedValueOnce(new Error('vault is sealed'))
      .mockRejectedValueOnce(new Error('still'))
      .mockResolvedValue(['a'])
    const pooled = wrapFetch(fetch, { origins: ORIGIN, keys: load })
    await new Promise(resolve => setTimeout(resolve, 5))
    await expect(pooled(ORIGIN)).rejects.toMatchObject({ code: 'ERR_KEYS_UNAVAILABLE', cause: { message: 'still' } })
    expect((await pooled(ORIGIN)).status).toBe(200)
    load.mockRejectedValueOnce(new Error('sealed again'))
    await expect(pooled.pool.refresh()).rejects.toMatchObject({ code: 'ERR_KEYS_UNAVAILABLE' })
    expect(pooled.pool.keys()).toHaveLength(1)
  })
})

describe('over time', () => {
  beforeEach(() => void vi.useFakeTimers())
  afterEach(() => void vi.useRealTimers())

  it('a key retires at expiresAt', async () => {
    const { used, fetch } = network()
    const pooled = wrapFetch(fetch, {
      origins: ORIGIN,
      keys: [{ value: 'a', expiresAt: new Date(Date.now() + 1000) }, 'b'],
      strategy: 'fill-first',
      cache: false,
    })
    const events = recordEvents(pooled)
    await pooled(ORIGIN)
    vi.advanceTimersByTime(1001)
    expect(pooled.pool.keys()[0]).toMatchObject({ state: 'disabled', cause: 'expired' })
    await pooled(ORIGIN)
    expect(used).toEqual(['a', 'b'])
    expect(events.of('key-disabled')).toMatchObject([{ keyId: 'key-1', cause: 'expired' }])
  })

  it('a key that was refused as invalid is tried by one request in a while, and comes back', async () => {
    let revoked = true
    const { used, fetch } = network(key => new Response(null, { status: key === 'a' && revoked ? 401 : 200 }))
    const pooled = wrapFetch(fetch, { origins: ORIGIN, keys: ['a', 'b'], strategy: 'fill-first', cache: false })
    const events = recordEvents(pooled)
    const call = async () => void (await pooled(ORIGIN))
    await call()
    await vi.advanceTimersByTimeAsync(65_000)
    await Promise.all([call(), call()])
    await call()
    expect(used).toEqual(['a', 'b', 'a', 'b', 'b', 'b'])
    revoked = false
    await vi.advanceTimersByTimeAsync(65_000)
    await call()
    expect(used.at(-1)).toBe('b')
    await vi.advanceTimersByTimeAsync(65_000)
    await call()
    expect(used.at(-1)).toBe('a')
    expect(events.of('key-recovered')).toMatchObject([{ keyId: 'key-1', cause: 'invalid-key' }])
    expect(pooled.pool.keys()[0]).toMatchObject({ state: 'ready' })
  })

  it('a guessed wait grows with each refusal in a row, from moments to a minute', async () => {
    const { fetch } = network(() => new Response(null, { status: 429 }))
    const pooled = wrapFetch(fetch, { origins: ORIGIN, keys: ['a'], maxWait: 0 })
    const waits: number[] = []
    for (let index = 0; index < 20; index++) {
      await pooled(ORIGIN).catch(() => {})
      const until = pooled.pool.keys()[0]!.until!.getTime()
      waits.push(until - Date.now())
      await vi.advanceTimersByTimeAsync(until + 1 - Date.now())
    }
    expect(waits[0]! / 50).toBeCloseTo(1, 0)
    for (let index = 1; index < 14; index++) expect(waits[index]!).toBeGreaterThan(waits[index - 1]! * 1.3)
    expect(Math.min(...waits.slice(-3))).toBeGreaterThanOrEqual(60_000)
    expect(Math.max(...waits)).toBeLessThanOrEqual(61_000)
  })
})
