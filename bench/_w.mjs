import { fork } from 'node:child_process'
import { once } from 'node:events'
import { wrapFetch } from 'fetch-keypool'
const KEYS = ['bench-key-a', 'bench-key-b', 'bench-key-c', 'bench-key-d']
const fixed = process.argv[2] === 'fixed', declared = process.argv[3] !== 'unknown'
for (let i = 0; i < 3; i++) {
const child = fork('servers/quota.mjs', [JSON.stringify({ keys: Object.fromEntries(KEYS.map(k => [k, { requests: 40, per: 1000, fixed }])) })])
const [{ url }] = await once(child, 'message')
const f = wrapFetch(fetch, { origins: url, keys: KEYS, cache: false, ...(declared && { limits: { requests: 40, per: 1000 } }) })
const t = performance.now()
await Promise.all(Array.from({ length: 1000 }, async (_, n) => (await f(url + '/' + n)).arrayBuffer()))
const took = performance.now() - t
child.send('s'); const [{ counts, servedAt }] = await once(child, 'message')
const marks = []; for (let n = 0; n < 1000; n += 160) marks.push([Math.round(servedAt[n] - servedAt[0]), Math.round(servedAt[Math.min(999, n + 159)] - servedAt[0])])
console.log(took.toFixed(0), JSON.stringify(marks), counts.refused)
if (!declared) console.log(JSON.stringify(f.pool.keys()[0].limits))
child.disconnect(); await f.close()
}
process.exit()
