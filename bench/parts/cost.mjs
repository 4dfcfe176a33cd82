import { createClient } from '@fetchkit/ffetch'
import Bottleneck from 'bottleneck'
import { ConstantBackoff, retry as cockatielRetry, handleAll } from 'cockatiel'
import { wrapFetch } from 'fetch-keypool'
import ky from 'ky'
import { createFetch } from 'ofetch'
import pRetry from 'p-retry'
import { atOnce, fixed, inTurn, one } from '../measure.mjs'

const URL_OF_IT = 'https://api.example.com/v1/search?q=1'

/** What a call costs beside the network: the transport answers at once. */
export default async function cost() {
  const transport = async () => new Response('{"ok":true}', { headers: { 'content-type': 'application/json' } })
  const keypool = options =>
    wrapFetch(transport, {
      ...{ origins: 'https://api.example.com', keys: ['key-a', 'key-b', 'key-c', 'key-d'], cache: false },
      ...options,
    })
  const limits = [
    { requests: 100_000_000, per: '1m' },
    { requests: 1_000_000_000, per: '1h' },
  ]
  const clients = {
    'bare fetch': transport,
    'p-retry': url => pRetry(() => transport(url)),
    cockatiel: (
      policy => url =>
        policy.execute(() => transport(url))
    )(cockatielRetry(handleAll, { maxAttempts: 2, backoff: new ConstantBackoff(10) })),
    ofetch: (
      api => url =>
        api(url)
    )(createFetch({ fetch: transport, Headers, AbortController }).native),
    'ofetch, its own parsing': (
      api => async url =>
        new Response(JSON.stringify(await api(url)))
    )(createFetch({ fetch: transport, Headers, AbortController })),
    ffetch: createClient({ fetchHandler: transport }),
    ky: (
      api => url =>
        api(url)
    )(ky.create({ fetch: transport })),
    'Bottleneck + p-retry': (
      limiter => url =>
        limiter.schedule(() => pRetry(() => transport(url)))
    )(new Bottleneck({ maxConcurrent: 1000 })),
    'fetch-keypool, no limits': keypool({}),
    'fetch-keypool, two limits': keypool({ limits }),
    'fetch-keypool, two limits and concurrency': keypool({ limits: [...limits, { concurrency: 1000 }] }),
    'fetch-keypool, two limits, cache': keypool({ limits, cache: true }),
  }
  const call = client => async () => (await client(URL_OF_IT)).text()
  const measure = async (how, slow) => {
    const ways = Object.entries(clients)
    const fast = ways.filter(([name]) => name !== 'Bottleneck + p-retry')
    const measured = await inTurn(Object.fromEntries(fast.map(([name, client]) => [name, how(call(client))])), {
      count: 6_400,
      rounds: 7,
    })
    const bottleneck = await inTurn(
      { 'Bottleneck + p-retry': how(call(clients['Bottleneck + p-retry'])) },
      { count: slow, rounds: 3 },
    )
    return { ...measured, ...bottleneck }
  }
  const alone = await measure(one, 64)
  const together = await measure(run => atOnce(run, 64), 256)
  const bare = { alone: alone['bare fetch'], together: together['bare fetch'] }
  const ofKy = {
    alone: alone.ky.cpu - bare.alone.cpu,
    together: together.ky.cpu - bare.together.cpu,
  }
  const added = (name, of, base) => [fixed(of[name].cpu - base.cpu), fixed(of[name].wall - base.wall)]
  return {
    title: 'What a call costs beside the network',
    about:
      'The transport answers at once; microseconds added to it for each call, medians of 7 rounds in turn. `of ky’s`: added processor time as a part of what ky adds.',
    head: ['', 'alone: cpu', 'wall', 'of ky’s', '64 at once: cpu', 'wall', 'of ky’s'],
    rows: Object.keys(clients)
      .filter(name => name !== 'bare fetch')
      .map(name => {
        const [a, b] = [added(name, alone, bare.alone), added(name, together, bare.together)]
        return [name, ...a, fixed(a[0] / ofKy.alone, 2), ...b, fixed(b[0] / ofKy.together, 2)]
      }),
  }
}
