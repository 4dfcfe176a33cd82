import { KeypoolError, wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { recordEvents } from '../helpers/events.js'

const ORIGIN = 'https://api.example.com'
const COUNT = 3_500
const calls = (fetch: (url: string, init?: RequestInit) => Promise<Response>, init?: RequestInit) =>
  Array.from({ length: COUNT }, (_, index) => fetch(`${ORIGIN}/${index}`, init))

describe('thousands of calls in one line', () => {
  it('are served in the order in which they came, each once', async () => {
    const served: string[] = []
    const network = async (url: RequestInfo | URL) => {
      served.push(String(url))
      return new Response(null)
    }
    const fetch = wrapFetch(network, { origins: ORIGIN, keys: ['a'], limits: { concurrency: 5 }, cache: false })
    const responses = await Promise.all(calls(fetch))
    expect(responses.every(({ status }) => status === 200)).toBe(true)
    expect(served).toEqual(Array.from({ length: COUNT }, (_, index) => `${ORIGIN}/${index}`))
    expect(fetch.pool.stats()).toMatchObject({ waiting: 0, inFlight: 0, answered: COUNT })
  })

  it('are counted, wherever they wait, and let the urgent pass', async () => {
    const served: string[] = []
    let release: (() => void) | undefined
    const gate = new Promise<void>(resolve => {
      release = resolve
    })
    const network = async (url: RequestInfo | URL) => {
      await gate
      served.push(String(url))
      return new Response(null)
    }
    const fetch = wrapFetch(network, { origins: ORIGIN, keys: ['a'], limits: { concurrency: 1 }, cache: false })
    const all = calls(fetch)
    expect(fetch.pool.stats().waiting).toBe(COUNT - 1)
    expect((await fetch.explain(`${ORIGIN}/next`)).ahead).toBe(COUNT - 1)
    const urgent = fetch(`${ORIGIN}/urgent`, { priority: 'high' })
    release!()
    await urgent
    expect(served.slice(0, 2)).toEqual([`${ORIGIN}/0`, `${ORIGIN}/urgent`])
    await Promise.all(all)
  })

  it('are gone at once when their callers abort, with the caller’s own reason', async () => {
    const fetch = wrapFetch(() => new Promise(() => {}), {
      ...{ origins: ORIGIN, keys: ['a'], limits: { concurrency: 1 }, cache: false },
    })
    const events = recordEvents(fetch)
    const controller = new AbortController()
    const all = Promise.allSettled(calls(fetch, { signal: controller.signal }))
    controller.abort('mine')
    const ended = (await all).map(each => (each.status === 'rejected' ? each.reason : 'answered'))
    expect(new Set(ended)).toEqual(new Set(['mine']))
    expect(fetch.pool.stats()).toMatchObject({ waiting: 0, failed: COUNT })
    expect(events.of('request-finished')).toHaveLength(COUNT)
  })

  it('give up when maxWait is over, all of them', async () => {
    const fetch = wrapFetch(() => new Promise(() => {}), {
      ...{ origins: ORIGIN, keys: ['a'], limits: { concurrency: 1 }, cache: false, maxWait: 100 },
    })
    // Has the one permit, and never ends.
    void fetch(ORIGIN)
    const ended = await Promise.allSettled(calls(fetch))
    expect(ended.every(each => each.status === 'rejected' && KeypoolError.is(each.reason, 'ERR_POOL_EXHAUSTED'))).toBe(
      true,
    )
  })

  it('are told at once where waiting would be in vain', async () => {
    const refuse = async () => new Response(null, { status: 429, headers: { 'retry-after': '3600' } })
    const fetch = wrapFetch(refuse, {
      ...{ origins: ORIGIN, keys: ['a'], limits: { concurrency: 1 }, cache: false, maxWait: '30s' },
    })
    const ended = await Promise.allSettled(calls(fetch))
    expect(ended.every(({ status }) => status === 'rejected')).toBe(true)
  })

  it('are sent away when the fetch is closed', async () => {
    const fetch = wrapFetch(async () => new Response('x'), {
      ...{ origins: ORIGIN, keys: ['a'], limits: { requests: 1, per: '1h' }, cache: false, maxWait: '2h' },
    })
    const ended = Promise.allSettled(calls(fetch))
    await fetch.close()
    const codes = (await ended).map(each => (each.status === 'rejected' ? each.reason.code : 'answered'))
    expect(new Set(codes)).toEqual(new Set(['answered', 'ERR_CLOSED']))
  })
})
