import { type KeyInput, wrapFetch } from 'fetch-keypool'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

const ORIGIN = 'http://api.test'

/** A pool whose keys come from a function, and a service that says what the test wants. */
function renewable(inputs: KeyInput[], options: object = {}) {
  const state = {
    inputs,
    answer: (_key: string): Response | Promise<Response> => new Response('ok'),
    sent: [] as string[],
  }
  const base = async (_: unknown, init: RequestInit = {}) => {
    const key = new Headers(init.headers).get('authorization')!.replace('Bearer ', '')
    state.sent.push(key)
    return state.answer(key)
  }
  const fetch = wrapFetch(base as never, {
    origins: ORIGIN,
    cache: false,
    retry: false,
    keys: () => state.inputs,
    ...options,
  })
  return { state, fetch }
}

describe('a secret that was renewed', () => {
  const limits = { requests: 100, per: 'day' } as const

  it.each<[string, (version: number) => KeyInput[]]>([
    ['under the same id', version => [{ id: 'team', value: `secret-value-${version}` }]],
    ['under the same id, in a group', version => [{ id: 'team', value: `secret-value-${version}`, group: 'account' }]],
    ['in the same group', version => [{ value: `secret-value-${version}`, group: 'account' }]],
    [
      'beside another of its group',
      version => [
        { id: 'a', value: `secret-value-${version}`, group: 'account' },
        { id: 'b', value: 'another-value', group: 'account' },
      ],
    ],
  ])('keeps what its account has used: %s', async (_, keys) => {
    const { state, fetch } = renewable(keys(1), { limits })
    for (let call = 0; call < 30; call++) await fetch(ORIGIN)
    state.inputs = keys(2)
    await fetch.pool.refresh()
    expect(fetch.pool.keys()[0]!.remaining).toBe(70)
    state.sent.length = 0
    await fetch(ORIGIN)
    expect(state.sent[0]).toMatch(/secret-value-2|another-value/)
    expect(fetch.pool.keys()[0]!.remaining).toBe(69)
  })

  it('keeps its cooldown, its weight and its counts', async () => {
    const { state, fetch } = renewable([{ id: 'team', value: 'secret-value-1', weight: 3 }], { maxWait: 0 })
    state.answer = () => new Response('', { status: 429, headers: { 'retry-after': '60' } })
    await fetch(ORIGIN).catch(() => {})
    const { until } = fetch.pool.keys()[0]!
    state.inputs = [{ id: 'team', value: 'secret-value-2', weight: 3 }]
    await fetch.pool.refresh()
    expect(fetch.pool.keys()[0]).toMatchObject({ state: 'cooling', weight: 3, lastCause: 'rate-limit' })
    expect(Math.abs(fetch.pool.keys()[0]!.until!.getTime() - until!.getTime())).toBeLessThan(50)
    expect(fetch.pool.stats().keys.team!.attempts).toBe(1)
  })

  it('is tried at once where the old value was refused as invalid, and not where the program had switched the key off', async () => {
    const { state, fetch } = renewable([{ id: 'team', value: 'secret-value-1' }], { maxWait: 0 })
    state.answer = key => new Response('', { status: key.endsWith('1') ? 401 : 200 })
    await fetch(ORIGIN).catch(() => {})
    expect(fetch.pool.keys()[0]).toMatchObject({ state: 'disabled', cause: 'invalid-key' })
    state.inputs = [{ id: 'team', value: 'secret-value-2' }]
    await fetch.pool.refresh()
    expect((await fetch(ORIGIN)).status).toBe(200)
    fetch.pool.disable('team')
    state.inputs = [{ id: 'team', value: 'secret-value-3' }]
    await fetch.pool.refresh()
    expect(fetch.pool.keys()[0]).toMatchObject({ state: 'disabled', cause: 'disabled' })
  })

  it('is not blamed for a late refusal of the old value, which stays out of what is told', async () => {
    const { state, fetch } = renewable([{ id: 'team', value: 'secret-value-1' }], { maxWait: 50 })
    let refuse = (_: Response) => {}
    state.answer = key =>
      key.endsWith('1')
        ? new Promise(resolve => {
            refuse = resolve
          })
        : new Response('fine')
    const told: string[] = []
    fetch.pool.on('key-disabled', event => told.push(JSON.stringify(event)))
    const call = fetch(ORIGIN)
    await vi.waitFor(() => expect(state.sent).toHaveLength(1))
    state.inputs = [{ id: 'team', value: 'secret-value-2' }]
    await fetch.pool.refresh()
    refuse(new Response('no', { status: 401 }))
    expect(await (await call).text()).toBe('fine')
    expect(told).toEqual([])
    const failing = renewable([{ id: 'team', value: 'secret-value-1' }])
    let fail = (_: unknown) => {}
    failing.state.answer = () =>
      new Promise((_, reject) => {
        fail = reject
      })
    const failed = failing.fetch(ORIGIN).catch((error: Error) => error)
    await vi.waitFor(() => expect(failing.state.sent).toHaveLength(1))
    failing.state.inputs = [{ id: 'team', value: 'secret-value-2' }]
    await failing.fetch.pool.refresh()
    fail(new Error('could not send secret-value-1'))
    expect(((await failed) as Error).message).toBe('could not send [secret]')
  })

  it('is quoted by no error, nor is the old one', async () => {
    const { state, fetch } = renewable([{ id: 'team', value: 'secret-value-1' }])
    state.inputs = [{ id: 'team', value: 'secret-value-2' }]
    await fetch.pool.refresh()
    for (const id of ['secret-value-1', 'secret-value-2', 'Bearer secret-value-2', ' secret-value-1']) {
      for (const act of ['disable', 'enable', 'reset', 'remove'] as const) {
        expect(() => fetch.pool[act](id)).toThrow(/^No key has the id given/)
      }
    }
  })

  it.each([
    ['change places', ['2', '1', '3']],
    ['are shifted', ['4', '1', '2']],
  ])('keeps its counts where several %s', async (_, order) => {
    const values = (versions: readonly string[]): KeyInput[] =>
      versions.map((version, index) => ({ id: 'abc'[index]!, value: `secret-value-${version}` }))
    const { state, fetch } = renewable(values(['1', '2', '3']), { limits: { requests: 3, per: '1h' }, maxWait: 0 })
    for (let call = 0; call < 9; call++) await fetch(ORIGIN)
    state.inputs = values(order)
    await fetch.pool.refresh()
    await expect(fetch(ORIGIN)).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
  })

  it('may change places with another', async () => {
    const { state, fetch } = renewable([
      { id: 'a', value: 'secret-value-1' },
      { id: 'b', value: 'secret-value-2' },
    ])
    await fetch(ORIGIN)
    state.inputs = [
      { id: 'a', value: 'secret-value-2' },
      { id: 'b', value: 'secret-value-1' },
    ]
    await fetch.pool.refresh()
    expect(
      fetch.pool
        .keys()
        .map(({ id }) => id)
        .sort(),
    ).toEqual(['a', 'b'])
    state.sent.length = 0
    await Promise.all([fetch(ORIGIN), fetch(ORIGIN)])
    expect([...state.sent].sort()).toEqual(['secret-value-1', 'secret-value-2'])
  })
})

describe('weights', () => {
  const served = async (fetch: typeof globalThis.fetch, sent: string[]) => {
    sent.length = 0
    for (let call = 0; call < 100; call++) await fetch(ORIGIN)
    return sent.filter(key => key === 'heavy').length
  }
  const weighed: KeyInput[] = [
    { value: 'light', weight: 1 },
    { value: 'heavy', weight: 9 },
  ]

  it('count without a strategy, from a list, a function, or a key that is added later', async () => {
    const fromFunction = renewable(weighed)
    expect(await served(fromFunction.fetch, fromFunction.state.sent)).toBe(90)
    const fromList = renewable([], { keys: weighed })
    expect(await served(fromList.fetch, fromList.state.sent)).toBe(90)
    const added = renewable([], { keys: ['light'] })
    await added.fetch(ORIGIN)
    added.fetch.pool.add({ value: 'heavy', weight: 9 })
    expect(await served(added.fetch, added.state.sent)).toBe(90)
  })

  it('count for nothing under another strategy, nor where no key has one', async () => {
    const robin = renewable(weighed, { strategy: 'round-robin' })
    expect(await served(robin.fetch, robin.state.sent)).toBe(50)
    const plain = renewable(['light', 'heavy'])
    expect(await served(plain.fetch, plain.state.sent)).toBe(50)
  })
})

describe('calls that wait', () => {
  beforeEach(() => void vi.useFakeTimers({ now: Date.UTC(2026, 8, 6, 12) }))
  afterEach(() => void vi.useRealTimers())
  const pass = (milliseconds: number) => vi.advanceTimersByTimeAsync(milliseconds)

  it.each([
    ['give up after maxWait', { maxWait: '1s' }, false],
    ['are aborted', { maxWait: '30s' }, true],
    ['get a 429 in the end', { maxWait: '1s', onExhausted: 'respond' }, false],
  ])('count in the waits and in the diagnosis when they %s', async (_, options, isAborted) => {
    const { fetch } = renewable([], { keys: ['a'], limits: { requests: 10, per: '2s' }, ...options })
    const signal = isAborted ? AbortSignal.timeout(1_000) : undefined
    const controller = new AbortController()
    const calls = Array.from({ length: 60 }, () =>
      fetch(ORIGIN, { signal: signal && controller.signal }).catch(() => null),
    )
    await pass(1_000)
    controller.abort()
    await pass(100)
    await Promise.all(isAborted ? calls : calls.slice(0, 0))
    const { waits, turnedAway } = fetch.pool.stats()
    expect(turnedAway).toBeGreaterThanOrEqual(isAborted ? 50 : 40)
    expect(waits.count).toBe(10 + turnedAway)
    if (isAborted) expect(waits.p95).toBeGreaterThanOrEqual(900)
    const found = fetch.pool.diagnose().findings.find(({ kind }) => kind === 'turned-away')
    expect(found).toMatchObject({ evidence: { calls: 60, turnedAway } })
  })

  it('leave no trace where they were served', async () => {
    const { fetch } = renewable([], { keys: ['a'], limits: { requests: 10, per: '2s' } })
    const calls = Array.from({ length: 20 }, () => fetch(ORIGIN))
    await pass(5_000)
    await Promise.all(calls)
    expect(fetch.pool.stats().turnedAway).toBe(0)
    expect(fetch.pool.diagnose().findings.some(({ kind }) => kind === 'turned-away')).toBe(false)
  })

  it.each<[string, object]>([
    ['a strategy of the program', { strategy: (keys: { id: string }[]) => keys[0]!.id }],
    ['one of the library', {}],
  ])('leave no timer behind once all are served, by %s', async (_, options) => {
    const { fetch } = renewable([], { keys: ['a'], limits: { concurrency: 1 }, maxWait: '1h', ...options })
    const calls = Array.from({ length: 5 }, async () => (await fetch(ORIGIN)).text())
    await pass(1_000)
    await Promise.all(calls)
    await pass(2_000)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('for a key that will have expired before its turn are told when it does', async () => {
    const { fetch } = renewable([], {
      keys: [{ value: 'a', expiresAt: new Date(Date.now() + 400) }],
      ...{ limits: { requests: 1, per: '4s' }, maxWait: '10s' },
    })
    const causes: string[] = []
    fetch.pool.on('key-disabled', ({ cause }) => causes.push(cause))
    await fetch(ORIGIN)
    const waiting = fetch(ORIGIN).catch(error => error.code)
    await pass(450)
    expect(await waiting).toBe('ERR_POOL_EXHAUSTED')
    expect(causes).toEqual(['expired'])
  })

  it.each([
    ['1m', 60],
    ['90s', 90],
    ['10m', 600],
  ])('wait by default for as long as a declared window of %s lasts', async (per, seconds) => {
    const { fetch } = renewable([], { keys: ['a'], limits: { requests: 1, per } })
    await fetch(ORIGIN)
    const second = fetch(ORIGIN)
    await pass(seconds * 1000 + 1_000)
    expect((await second).status).toBe(200)
  })

  it('do not wait by default for a window of an hour', async () => {
    const { fetch } = renewable([], { keys: ['a'], limits: { requests: 1, per: '1h' } })
    await fetch(ORIGIN)
    await expect(fetch(ORIGIN)).rejects.toMatchObject({ code: 'ERR_POOL_EXHAUSTED' })
  })

  it('as long as the window lasts are served, where maxWait is just that', async () => {
    const { fetch } = renewable([], { keys: ['a'], limits: { requests: 1, per: '1m' }, maxWait: '1m' })
    await fetch(ORIGIN)
    const second = fetch(ORIGIN)
    await pass(61_000)
    expect((await second).status).toBe(200)
  })
})
