import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { wrapFetch } from 'fetch-keypool'
import makeFetchHappen from 'make-fetch-happen'
import { Agent, interceptors, fetch as undiciFetch } from 'undici'
import { atOnce, fixed, inTurn, one } from '../measure.mjs'

/** A fresh answer of 2 KB out of the cache, beside others' caches and the server itself. */
export default async function cacheHit() {
  const server = fork(fileURLToPath(new URL('../servers/cacheable.mjs', import.meta.url)))
  const [port] = await once(server, 'message')
  const origin = `http://127.0.0.1:${port}`
  const folder = mkdtempSync(join(tmpdir(), 'keypool-bench-'))
  const dispatcher = new Agent().compose(interceptors.cache({ type: 'private' }))
  const clients = {
    'no cache': fetch,
    'make-fetch-happen': makeFetchHappen.defaults({ cachePath: folder }),
    'undici’s interceptor': url => undiciFetch(url, { dispatcher }),
    'fetch-keypool': wrapFetch(fetch, {
      ...{ origins: origin, keys: ['key-a', 'key-b'], limits: { requests: 1_000_000, per: '1m' } },
    }),
  }
  const call = client => async () => (await client(`${origin}/x`)).text()
  for (const client of Object.values(clients)) await call(client)()
  await new Promise(resolve => setTimeout(resolve, 100))
  const measure = how =>
    inTurn(Object.fromEntries(Object.entries(clients).map(([name, client]) => [name, how(call(client))])), {
      count: 512,
      rounds: 9,
    })
  const alone = await measure(one)
  const together = await measure(run => atOnce(run, 64))
  server.disconnect()
  rmSync(folder, { recursive: true, force: true })
  const undici = [alone, together].map(each => each['undici’s interceptor'].wall)
  return {
    title: 'A cache hit',
    about: 'Microseconds for a fresh answer of 2 KB over loopback, medians of 9 rounds in turn.',
    head: ['', 'alone: wall', 'cpu', 'of undici’s', '64 at once: wall', 'cpu', 'of undici’s'],
    rows: Object.keys(clients).map(name => [
      name,
      ...[fixed(alone[name].wall), fixed(alone[name].cpu), fixed(alone[name].wall / undici[0], 2)],
      ...[fixed(together[name].wall), fixed(together[name].cpu), fixed(together[name].wall / undici[1], 2)],
    ]),
  }
}
