import { setTimeout as sleep } from 'node:timers/promises'
import { wrapFetch } from 'fetch-keypool'
import { fixed, median } from '../measure.mjs'

const ORIGIN = 'https://api.example.com'
const transport = async () => new Response(null)
const keysOf = count => Array.from({ length: count }, (_, index) => `key-of-the-bench-${index}`)
const limits = [{ requests: 1_000_000, per: '1m' }, { concurrency: 1_000 }]

const heap = async () => {
  for (let round = 0; round < 3; round++) {
    globalThis.gc()
    await sleep(20)
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Microseconds that a call takes, by the number of keys, in turn. */
async function choosing(counts) {
  const pools = counts.map(count =>
    wrapFetch(transport, { origins: ORIGIN, keys: keysOf(count), limits, cache: false }),
  )
  const times = counts.map(() => [])
  for (let round = -1; round < 7; round++) {
    for (const [index, fetch] of pools.entries()) {
      const from = performance.now()
      for (let call = 0; call < 4_000; call++) await fetch(`${ORIGIN}/x`)
      if (round >= 0) times[index].push(((performance.now() - from) * 1_000) / 4_000)
    }
  }
  return times.map(median)
}

async function waiting(count) {
  const fetch = wrapFetch(() => new Promise(() => {}), {
    ...{ origins: ORIGIN, keys: ['key-a'], limits: { concurrency: 1 }, cache: false, maxWait: '1h' },
  })
  fetch(`${ORIGIN}/first`).catch(() => {})
  const controller = new AbortController()
  await sleep(10)
  const before = await heap()
  const url = `${ORIGIN}/x`
  const all = Promise.allSettled(Array.from({ length: count }, () => fetch(url, { signal: controller.signal })))
  await sleep(50)
  const each = ((await heap()) - before) / count
  const from = performance.now()
  controller.abort()
  const aborted = performance.now() - from
  await all
  return { each, aborted, settled: performance.now() - from, left: fetch.pool.stats().waiting }
}

async function keys(count) {
  const list = keysOf(count)
  const before = await heap()
  const fetch = wrapFetch(transport, { origins: ORIGIN, keys: list, limits, cache: false, strategy: 'round-robin' })
  const idle = ((await heap()) - before) / count
  const timers = process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const cpu = process.cpuUsage()
  await sleep(2_000)
  const { user, system } = process.cpuUsage(cpu)
  for (let call = 0; call < count; call++) await fetch(`${ORIGIN}/x`)
  const used = ((await heap()) - before) / count
  return { idle, used, timers, cpu: (user + system) / 2_000, alive: fetch.pool.keys().length }
}

/** How it grows: with the keys, and with those that wait. */
export default async function scale() {
  const counts = [10, 1_000, 10_000, 100_000]
  const times = await choosing(counts)
  const line = await waiting(100_000)
  const pool = await keys(10_000)
  return {
    title: 'Scale',
    about: 'In one process, the transport answers at once.',
    head: ['what', 'figure'],
    rows: [
      ...counts.map((count, index) => [
        `a call with ${count.toLocaleString('en')} keys, limits of each counted`,
        `${fixed(times[index])} µs (${fixed(times[index] / times[0], 2)} of that with 10)`,
      ]),
      ['100,000 calls that wait, each', `${Math.round(line.each)} bytes`],
      [
        'aborting all of them',
        `${fixed(line.aborted)} ms; all rejected after ${fixed(line.settled)} ms, ${line.left} left in line`,
      ],
      ['10,000 keys that were never used, each', `${Math.round(pool.idle)} bytes`],
      ['10,000 keys that were used, each', `${Math.round(pool.used)} bytes`],
      ['processor time of a pool of 10,000 idle keys', `${fixed(pool.cpu, 2)} ms in a second, ${pool.timers} timers`],
    ],
  }
}
