/**
 * Five minutes of everything at once (`npm run soak`, or `npm run soak -- 30` for half a minute): answers, refusals,
 * failures, aborts, bodies that nobody reads, keys that come and go. Says whether the heap is flat after the first fifth,
 * and whether any permit, listener, timer or waiter is left at the end. Ends with 1 where something is.
 */
import { getEventListeners } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import Table from 'cli-table3'
import { wrapFetch } from 'fetch-keypool'

const SECONDS = Number(process.argv[2] ?? 300)
if (!(SECONDS >= 5 && SECONDS <= 300)) throw new Error('The seconds of a soak are 5 to 300.')
const random = (from, to) => from + Math.random() * (to - from)

const server = createServer(async (request, response) => {
  request.resume()
  const kind = Math.random()
  await sleep(random(0, 20))
  if (kind < 0.05) return response.writeHead(429, { 'retry-after-ms': '50' }).end('{"error":{"code":"rate_limit"}}')
  if (kind < 0.07) return response.writeHead(503).end()
  if (kind < 0.08) return request.socket.destroy()
  if (kind < 0.09)
    return response.writeHead(200, { 'content-length': '1000' }).end('cut', () => request.socket.destroy())
  if (kind < 0.1) return response.writeHead(302, { location: '/redirected' }).end()
  if (kind < 0.3) return response.writeHead(200, { 'cache-control': 'max-age=1', etag: '"1"' }).end('x'.repeat(2_000))
  return response.writeHead(200, { 'content-type': 'application/json' }).end('{"usage":{"total_tokens":5}}')
}).listen(0, '127.0.0.1')
await new Promise(resolve => server.once('listening', resolve))
const origin = `http://127.0.0.1:${server.address().port}`

const fetch = wrapFetch(globalThis.fetch, {
  ...{ origins: origin, keys: ['soak-key-a', 'soak-key-b', 'soak-key-c'] },
  limits: [{ requests: 400, per: '1s' }, { concurrency: 20 }, { tokens: 100_000, per: '1s' }],
  ...{ retry: { retries: 1, minDelay: 5 }, maxWait: '2s', cache: { maxEntries: 200 }, timeout: { attempt: '2s' } },
})
const forever = new AbortController()
const ended = { answered: 0, failed: 0, aborted: 0 }

async function call() {
  const controller = Math.random() < 0.1 ? new AbortController() : undefined
  if (controller) setTimeout(() => controller.abort(), random(0, 30)).unref()
  const init = Math.random() < 0.2 ? { method: 'POST', body: 'x'.repeat(random(0, 5_000)) } : {}
  try {
    const response = await fetch(`${origin}/${Math.floor(random(0, 400))}`, {
      ...init,
      signal: (controller ?? forever).signal,
    })
    const how = Math.random()
    if (how < 0.7) await response.text()
    else if (how < 0.8) await response.body?.cancel()
    else if (how < 0.9) for await (const _ of response.body ?? []);
    ended.answered++
  } catch {
    ended[controller?.signal.aborted ? 'aborted' : 'failed']++
  }
}

const heaps = []
const until = Date.now() + SECONDS * 1_000
const callers = Array.from({ length: 40 }, async () => {
  while (Date.now() < until) await call()
})
const changing = (async () => {
  for (let count = 0; Date.now() < until; count++) {
    const id = fetch.pool.add({ value: `soak-key-more-${count}`, id: `more-${count}` })
    await sleep(200)
    if (count % 3 === 0) fetch.pool.disable(id)
    fetch.pool.reset()
    fetch.pool.remove(id)
  }
})()
const measuring = (async () => {
  while (Date.now() < until) {
    await sleep(SECONDS * 20)
    globalThis.gc()
    heaps.push(process.memoryUsage().heapUsed)
  }
})()
await Promise.all([...callers, changing, measuring])
// What nobody has read is taken in, or dropped when it is collected.
const listening = () => getEventListeners(forever.signal, 'abort').length
for (let round = 0; round < 30 && (fetch.pool.stats().inFlight > 0 || listening() > 0); round++) {
  globalThis.gc()
  await sleep(100)
}

const settled = heaps.slice(Math.ceil(heaps.length / 5))
const third = Math.ceil(settled.length / 3)
const mean = values => values.reduce((sum, value) => sum + value, 0) / values.length
const growth = mean(settled.slice(-third)) / mean(settled.slice(0, third)) - 1
const { inFlight, waiting, attempts, rotations, retries, refusals, cache } = fetch.pool.stats()
await fetch.close()
server.closeAllConnections()
server.close()
await sleep(200)
const listeners = listening()
const timers = process.getActiveResourcesInfo().filter(name => name === 'Timeout').length

const table = new Table({ style: { head: [], border: [] } })
table.push(
  ['seconds', SECONDS],
  ['calls answered, failed, aborted', `${ended.answered}, ${ended.failed}, ${ended.aborted}`],
  ['attempts, rotations, retries', `${attempts}, ${rotations}, ${retries}`],
  ['refused for a limit, cache hits', `${refusals['rate-limit']}, ${cache.hits}`],
  [
    'heap in MB, first to last',
    heaps
      .filter((_, index) => index % Math.ceil(heaps.length / 10) === 0)
      .map(each => (each / 1e6).toFixed(1))
      .join(' '),
  ],
  ['growth after the first fifth', `${(growth * 100).toFixed(1)}%`],
  ['left at the end: permits, waiters, listeners, timers', `${inFlight}, ${waiting}, ${listeners}, ${timers}`],
)
console.log(table.toString())
const isLeft = inFlight > 0 || waiting > 0 || listeners > 0 || timers > 0
if (isLeft || growth > 0.1) {
  console.error(isLeft ? 'Something is left.' : 'The heap grows.')
  process.exit(1)
}
process.exit(0)
