import { createServer, type Server } from 'node:http'
import { wrapFetch } from 'fetch-keypool'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

/** Node's fetch acts for the page that stands here. */
const NODE_ORIGIN = Symbol.for('undici.globalOrigin.1')
type Name = 'A' | 'B' | 'C'
type Seen = { at: Name; method: string; origin: string | null; referrer: string | null }

const origins = {} as Record<Name, string>
const servers: Server[] = []
let seen: Seen[] = []

/** Servers that send on to wherever `to` says: `302 B origin` is a 302 to B under the policy `origin`. */
beforeAll(async () => {
  for (const at of ['A', 'B', 'C'] as const) {
    const server = createServer((request, response) => {
      const { method, headers } = request
      seen.push({ at, method: method!, origin: headers.origin ?? null, referrer: headers.referer ?? null })
      const [first, ...rest] = new URL(request.url!, 'http://x').searchParams.getAll('to')
      if (first === undefined) return response.end('there')
      const [status, next, policy] = first.split(' ')
      const location = new URL(`${origins[next as Name]}/p`)
      for (const each of rest) location.searchParams.append('to', each)
      response.writeHead(Number(status), { location: location.href, ...(policy && { 'referrer-policy': policy }) })
      response.end()
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    // Loopback is trustworthy in all its forms, so that no policy has a downgrade to look for.
    origins[at] = `http://127.0.0.1:${port}`
    servers.push(server)
  }
})

afterAll(() => {
  delete (globalThis as { [NODE_ORIGIN]?: URL })[NODE_ORIGIN]
  for (const server of servers) server.close()
})

const POLICIES = [
  'no-referrer',
  'no-referrer-when-downgrade',
  'same-origin',
  'origin',
  'strict-origin',
  'origin-when-cross-origin',
  'strict-origin-when-cross-origin',
  'unsafe-url',
] as const

/** What was sent for a chain of redirects, with the page at A. */
async function follow(chain: readonly Name[], steps: readonly string[], init: RequestInit): Promise<Seen[]> {
  ;(globalThis as { [NODE_ORIGIN]?: URL })[NODE_ORIGIN] = new URL(`${origins.A}/page?x#y`)
  const fetch = wrapFetch(globalThis.fetch, { origins: [origins.A, origins.B], keys: ['key-one'], cache: false })
  const url = new URL(`${origins[chain[0]!]}/start`)
  steps.forEach((step, index) => {
    const [status, policy] = step.split(' ')
    url.searchParams.append('to', `${status} ${chain[index + 1]} ${policy ?? ''}`.trim())
  })
  seen = []
  await (await fetch(url.href, init)).text()
  const named = (text: string | null) =>
    text?.replace(origins.A, 'A').replace(origins.B, 'B').replace(origins.C, 'C') ?? null
  return seen.map(each => ({ ...each, origin: named(each.origin), referrer: named(each.referrer) }))
}

describe('the Referer after a redirect', () => {
  /** By the policy that the redirect sets (Referrer Policy, section 8.3): to the page's own origin, and to another. */
  const SENT: Record<(typeof POLICIES)[number], [same: string | null, other: string | null]> = {
    'no-referrer': [null, null],
    'no-referrer-when-downgrade': ['A/page?x', 'A/page?x'],
    'same-origin': ['A/page?x', null],
    origin: ['A/', 'A/'],
    'strict-origin': ['A/', 'A/'],
    'origin-when-cross-origin': ['A/page?x', 'A/'],
    'strict-origin-when-cross-origin': ['A/page?x', 'A/'],
    'unsafe-url': ['A/page?x', 'A/page?x'],
  }

  it.each(POLICIES)('is what the redirect’s policy %s says', async policy => {
    for (const method of ['GET', 'POST']) {
      for (const status of [302, 307]) {
        const init = { method, referrerPolicy: 'unsafe-url' as const, ...(method === 'POST' && { body: 'x' }) }
        expect((await follow(['A', 'A'], [`${status} ${policy}`], init))[1]!.referrer).toBe(SENT[policy][0])
        expect((await follow(['A', 'B'], [`${status} ${policy}`], init))[1]!.referrer).toBe(SENT[policy][1])
      }
    }
  })

  it.each(POLICIES)('never says more again than the policy %s of the hop before has let through', async policy => {
    const [, first, second] = await follow(['A', 'B', 'A'], [`302 ${policy}`, '302 unsafe-url'], {
      referrerPolicy: 'unsafe-url',
    })
    expect(first!.referrer).toBe(SENT[policy][1])
    expect(second!.referrer).toBe(SENT[policy][1])
  })

  it('is that of the init from the first hop on, and none where the init says none', async () => {
    const referrer = `${origins.A}/another?page`
    const [first, second] = await follow(['A', 'A'], ['302'], { referrer })
    expect([first!.referrer, second!.referrer]).toEqual(['A/another?page', 'A/another?page'])
    const none = await follow(['A', 'B', 'A'], ['302 unsafe-url', '302 unsafe-url'], { referrer: '' })
    expect(none.map(each => each.referrer)).toEqual([null, null, null])
  })
})

describe('the Origin after a redirect', () => {
  it.each<[chain: Name[], sent: (string | null)[]]>([
    // The page's own origin sends to another, which is told; what other origins have had a hand in is opaque.
    [
      ['A', 'A'],
      [null, null],
    ],
    [
      ['A', 'B'],
      [null, 'A'],
    ],
    [
      ['A', 'B', 'A'],
      [null, 'A', 'null'],
    ],
    [
      ['A', 'B', 'C'],
      [null, 'A', 'null'],
    ],
    [
      ['A', 'C', 'C'],
      [null, 'A', 'A'],
    ],
    [
      ['B', 'A'],
      [null, 'null'],
    ],
    [
      ['B', 'C'],
      [null, 'null'],
    ],
  ])('of GET and HEAD along %s is %s', async (chain, sent) => {
    const steps = chain.slice(1).map(() => '302')
    expect((await follow(chain, steps, {})).map(each => each.origin)).toEqual(sent)
    expect((await follow(chain, steps, { method: 'HEAD' })).map(each => each.origin)).toEqual(sent)
  })

  it('is not sent where there is no page that has one', async () => {
    delete (globalThis as { [NODE_ORIGIN]?: URL })[NODE_ORIGIN]
    const fetch = wrapFetch(globalThis.fetch, { origins: [origins.A, origins.B], keys: ['key-one'], cache: false })
    seen = []
    await (await fetch(`${origins.A}/?to=302+B+unsafe-url`)).text()
    expect(seen.map(({ origin, referrer }) => [origin, referrer])).toEqual([
      [null, null],
      [null, null],
    ])
  })
})
