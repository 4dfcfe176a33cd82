import { startProvider } from './examples/demo/start-provider.ts'
import { wrapFetch } from './src/index.ts'

const p = await startProvider({ keys: { aaaa: {}, bbbb: {} }, latency: 1 })
const f = wrapFetch(fetch, {
  origins: p.url,
  keys: ['aaaa', 'bbbb'],
  limits: { requests: 1000000, per: 1000 },
  cache: process.argv[2] === 'cache',
})
const H = { headers: { authorization: 'Bearer aaaa' } }
async function run(label: string, g: (u: string) => Promise<Response>, n: number) {
  const c = process.cpuUsage()
  const t = performance.now()
  await Promise.all(
    Array.from({ length: n }, async (_, i) => {
      const r = await g(p.url + '/x?' + i)
      await r.text()
    }),
  )
  const d = process.cpuUsage(c)
  console.log(
    label,
    n,
    'wall ms',
    (performance.now() - t).toFixed(1),
    'cpu us/req',
    ((d.user + d.system) / n).toFixed(0),
  )
}
for (let k = 0; k < 4; k++) {
  await run('bare', u => fetch(u, H), 160)
  await run('ours', u => f(u), 160)
}
for (let k = 0; k < 3; k++) {
  await run('bare', u => fetch(u, H), 2000)
  await run('ours', u => f(u), 2000)
}
// transport stubbed
const stub = (async () => new Response('ok')) as typeof fetch
for (const [label, g] of [
  ['stub bare', stub],
  [
    'stub ours',
    wrapFetch(stub, {
      origins: 'http://a.b',
      keys: ['aaaa', 'bbbb'],
      limits: { requests: 1000000, per: 1000 },
      cache: false,
    }),
  ],
  [
    'stub ours cache',
    wrapFetch(stub, { origins: 'http://a.b', keys: ['aaaa', 'bbbb'], limits: { requests: 1000000, per: 1000 } }),
  ],
] as const) {
  for (let k = 0; k < 3; k++) {
    const n = 20000
    const t = performance.now()
    for (let i = 0; i < n; i++) await g('http://a.b/x?' + i)
    console.log(label, (((performance.now() - t) / n) * 1000).toFixed(1), 'us')
  }
}
p.stop()
