import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import Bottleneck from 'bottleneck'
import { wrapFetch } from 'fetch-keypool'
import ky from 'ky'
import pRetry from 'p-retry'
import { fixed, median } from '../measure.mjs'
import { startPortkey, target } from '../servers/portkey.mjs'

const KEYS = ['bench-key-a', 'bench-key-b', 'bench-key-c', 'bench-key-d']
const even = quota => Object.fromEntries(KEYS.map(key => [key, quota]))
const window = { requests: 40, per: 1_000 }
const bucket = { requests: 50, per: 1_000, burst: 10 }

const QUOTAS = [
  { name: 'buckets of 50/s, burst 10', keys: even(bucket), declared: bucket, count: 1_000 },
  { name: '40 in any second', keys: even(window), declared: window, count: 1_000 },
  { name: '40 in each second of the clock', keys: even({ ...window, fixed: true }), declared: window, count: 1_000 },
  {
    name: '10 at once, answers in 50 ms',
    keys: even({ concurrency: 10 }),
    declared: { concurrency: 10 },
    count: 1_000,
    latency: 50,
  },
  {
    name: 'buckets, one key dead, one out of quota',
    keys: { ...even(bucket), [KEYS[2]]: { dead: true }, [KEYS[3]]: { ...bucket, quota: 20 } },
    ...{ declared: bucket, count: 600 },
  },
  {
    name: 'buckets, a second of overload',
    keys: even(bucket),
    declared: bucket,
    count: 800,
    overload: { from: 1_500, for: 1_000 },
  },
]

/** How each way calls: a function that answers with the status, given where the server is and what its quotas are. */
const WAYS = {
  'keys in turn + p-retry': ({ url }) => {
    let turn = 0
    return path =>
      retrying(() => fetch(url + path, { headers: { authorization: `Bearer ${KEYS[turn++ % KEYS.length]}` } }))
  },
  'Bottleneck for each key + p-retry': ({ url, declared }) => {
    const limiters = KEYS.map(() => new Bottleneck(settingsOf(declared)))
    let turn = 0
    return path =>
      retrying(() => {
        const index = turn++ % KEYS.length
        return limiters[index].schedule(() =>
          fetch(url + path, { headers: { authorization: `Bearer ${KEYS[index]}` } }),
        )
      })
  },
  'ky with hooks': ({ url }) => {
    let turn = 0
    const api = ky.create({
      retry: { limit: RETRIES, statusCodes: [401, 429, 503], afterStatusCodes: [429, 503], backoffLimit: 2_000 },
      timeout: false,
      hooks: {
        beforeRequest: [request => request.headers.set('authorization', `Bearer ${KEYS[turn++ % KEYS.length]}`)],
        beforeRetry: [({ request }) => request.headers.set('authorization', `Bearer ${KEYS[turn++ % KEYS.length]}`)],
      },
    })
    return path => api(url + path)
  },
  'Portkey’s gateway': async ({ url }) => {
    const gateway = await callPortkey(url)
    return Object.assign(path => gateway.call(path), { close: gateway.stop })
  },
  'fetch-keypool, limits declared': ({ url, declared }) => keypool(url, { limits: declared }),
  'fetch-keypool, limits unknown': ({ url }) => keypool(url, {}),
}

const RETRIES = 12

function keypool(url, options) {
  const fetchWithKeys = wrapFetch(fetch, { origins: url, keys: KEYS, cache: false, ...options })
  return Object.assign(path => fetchWithKeys(url + path), { close: () => fetchWithKeys.close() })
}

function settingsOf({ requests, per, burst, concurrency }) {
  if (concurrency) return { maxConcurrent: concurrency }
  return burst
    ? {
        reservoir: burst,
        reservoirIncreaseAmount: requests / 4,
        reservoirIncreaseInterval: per / 4,
        reservoirIncreaseMaximum: burst,
      }
    : { reservoir: requests, reservoirRefreshAmount: requests, reservoirRefreshInterval: per }
}

/** As it is written by hand: p-retry with the server's own word on when. */
async function retrying(send) {
  return pRetry(
    async () => {
      const response = await send()
      if (response.ok) return response
      await response.arrayBuffer()
      const wait = Number(response.headers.get('retry-after-ms') ?? 0)
      if (wait > 0 && wait < 10_000) await new Promise(resolve => setTimeout(resolve, wait))
      throw new Error(String(response.status))
    },
    { retries: RETRIES, minTimeout: 50, maxTimeout: 1_000, randomize: true },
  )
}

async function callPortkey(url) {
  const { origin, path, headers, stop } = await startPortkey({
    strategy: { mode: 'loadbalance' },
    retry: { attempts: 5, on_status_codes: [401, 429, 503], use_retry_after_header: true },
    targets: KEYS.map(key => target(key, url)),
  })
  return {
    call: content =>
      fetch(origin + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ model: 'gpt', messages: [{ role: 'user', content }] }),
      }),
    stop,
  }
}

/** The least time in which the quotas serve so many, in milliseconds; and how many they serve by then. */
function served({ keys, latency = 5, overload }, time) {
  const paused = overload ? Math.max(0, Math.min(time, overload.from + overload.for) - overload.from) : 0
  return Object.values(keys).reduce(
    (sum, { requests, per = 1_000, burst, concurrency, dead, quota = Number.POSITIVE_INFINITY }) => {
      if (dead) return sum
      if (concurrency) return sum + Math.floor(((time - paused) / latency) * concurrency)
      const open =
        burst === undefined
          ? requests * (Math.floor((time - paused) / per) + 1)
          : burst + ((time - paused) * requests) / per
      return sum + Math.min(quota, Math.floor(open))
    },
    0,
  )
}

function leastTime(quota) {
  for (let time = 0; ; time += 5) if (served(quota, time) >= quota.count) return time + (quota.latency ?? 5)
}

async function run(quota, make) {
  const script = fileURLToPath(new URL('../servers/quota.mjs', import.meta.url))
  const child = fork(script, [JSON.stringify(quota)], { execArgv: [] })
  const [{ url }] = await once(child, 'message')
  const call = await make({ url, declared: quota.declared })
  const waits = []
  const from = performance.now()
  let failed = 0
  await Promise.race([
    Promise.all(
      Array.from({ length: quota.count }, async (_, index) => {
        try {
          const response = await call(`/v1/${index}`)
          await response.arrayBuffer()
          if (!response.ok) failed++
        } catch {
          failed++
        }
        waits.push(performance.now() - from)
      }),
    ),
    new Promise(resolve => setTimeout(resolve, 30_000)),
  ])
  const took = performance.now() - from
  failed += quota.count - waits.length
  child.send('stats')
  const [{ counts, servedAt }] = await once(child, 'message')
  await call.close?.()
  child.disconnect()
  const sorted = [...waits].sort((a, b) => a - b)
  return {
    // What has failed was not got out of them.
    pace: leastTime({ ...quota, count: quota.count - failed }) / took,
    refused: ((counts.refused + counts.rejected) / quota.count) * 1_000,
    ...{ failed, fairness: sorted[Math.floor(sorted.length * 0.99)] / median(waits), servedAt },
  }
}

/** How much of what quotas allow is got out of them, and how many refusals it takes. */
export default async function goodput() {
  const rows = []
  const plots = []
  for (const quota of QUOTAS) {
    const points = []
    for (const [way, make] of Object.entries(WAYS)) {
      const { pace, refused, failed, fairness, servedAt } = await run(quota, make)
      rows.push([quota.name, way, fixed(pace, 2), Math.round(refused), failed, fixed(fairness, 2)])
      const first = servedAt[0] ?? 0
      servedAt.forEach((at, index) => {
        if (index % 10 === 0) points.push({ way, time: (at - first) / 1_000, served: index + 1 })
      })
    }
    const end = leastTime(quota)
    plots.push({
      name: quota.name.replace(/[^a-z0-9]+/gi, '-').toLowerCase(),
      title: quota.name,
      points,
      quota: Array.from({ length: Math.ceil(end / 50) + 1 }, (_, index) => ({
        time: (index * 50) / 1_000,
        served: Math.min(quota.count, served(quota, index * 50)),
      })),
    })
  }
  return {
    title: 'Goodput: what is got out of the quotas',
    about:
      'Four keys, all requests at once, against a server in a process of its own. Pace: the least time that the quotas allow for what was served, by the time it took. Fairness: the wait of the 99th of 100 by the median.',
    head: ['quota', 'way', 'pace', 'refused in 1,000', 'failed', 'fairness'],
    rows,
    plots,
  }
}
