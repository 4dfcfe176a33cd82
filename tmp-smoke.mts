import { startProvider } from './examples/demo/start-provider.ts'
import { wrapFetch } from './src/index.ts'

const mode = process.argv[2],
  latency = Number(process.argv[3] ?? 5)
const lim = mode === 'bucket' ? { requests: 50, per: 1000, burst: 10 } : { requests: 40, per: 1000 }
const keys = ['aaaa', 'bbbb', 'cccc', 'dddd']
const p = await startProvider({ keys: Object.fromEntries(keys.map(k => [k, lim])), latency })
const f = wrapFetch(fetch, { origins: p.url, keys, limits: lim, maxWait: '60s', cache: process.argv[4] !== 'nocache' })
const N = 1000
const t = performance.now()
const rs = await Promise.all(Array.from({ length: N }, (_, i) => f(p.url + '/x?' + i)))
const ms = performance.now() - t
const ideal = mode === 'bucket' ? ((N / 4 - 10) / 50) * 1000 + latency : (Math.ceil(N / 160) - 1) * 1000 + latency
console.log(
  mode,
  latency,
  'statuses',
  [...new Set(rs.map(r => r.status))],
  'ms',
  ms.toFixed(0),
  'ideal',
  ideal,
  (ideal / ms).toFixed(3),
)
const s = await p.stats()
console.log(
  Object.values(s)
    .map(x => `${x.served}/${x.refused}`)
    .join(' '),
)
await f.close()
p.stop()
if (process.argv[5]) {
  const a = Object.values(s)[0]!.servedAt
  for (let i = 0; i < a.length; i += 40) console.log(i, a.slice(i, i + 40).join(' '))
}
