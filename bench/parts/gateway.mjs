import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Pool } from 'undici'
import { fixed, median } from '../measure.mjs'
import { answering, freePort } from '../servers/free-port.mjs'
import { startPortkey, target } from '../servers/portkey.mjs'

const ROUNDS = 5
const COUNT = 2_000
const AT_ONCE = 32
const require = createRequire(import.meta.url)
const BODY = JSON.stringify({ model: 'gpt', messages: [{ role: 'user', content: 'Say hello. '.repeat(20) }] })

async function startOurs(upstream) {
  const folder = mkdtempSync(join(tmpdir(), 'keypool-bench-'))
  const config = {
    ...{ allowPrivateUpstreams: true, log: false },
    routes: {
      '/openai': {
        provider: 'openai',
        origins: upstream,
        upstream,
        keys: ['key-a', 'key-b'],
        limits: { requests: 1e6, per: '1s' },
      },
    },
  }
  const file = join(folder, 'keypool.config.json')
  writeFileSync(file, JSON.stringify(config))
  const port = await freePort()
  const entry = join(dirname(require.resolve('fetch-keypool')), 'cli', 'index.js')
  const child = spawn(process.execPath, [entry, 'gateway', '--config', file, '--port', String(port)], {
    stdio: 'ignore',
  })
  await answering(`http://127.0.0.1:${port}/health`)
  return {
    ...{ origin: `http://127.0.0.1:${port}`, path: '/openai/v1/chat/completions', headers: {} },
    stop() {
      child.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Sends so many requests, so many at once; how long each took, and all together, in milliseconds. */
async function load(pool, { path, headers }, count, atOnce) {
  const times = []
  let left = count
  const from = performance.now()
  const worker = async () => {
    while (left-- > 0) {
      const at = performance.now()
      const { statusCode, body } = await pool.request({
        ...{ path, method: 'POST', body: BODY },
        headers: { 'content-type': 'application/json', authorization: 'Bearer of-the-caller', ...headers },
      })
      await body.dump()
      if (statusCode !== 200) throw new Error(`${path} answered with ${statusCode}`)
      times.push(performance.now() - at)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return { each: median(times), rate: (count * 1_000) / (performance.now() - from) }
}

export default async function gateways() {
  const chat = fork(fileURLToPath(new URL('../servers/chat.mjs', import.meta.url)), { execArgv: [] })
  const [upstream] = await once(chat, 'message')
  const ways = {
    'no gateway': { origin: upstream, path: '/v1/chat/completions', headers: {}, stop() {} },
    'fetch-keypool gateway': await startOurs(upstream),
    '@portkey-ai/gateway': await startPortkey({
      strategy: { mode: 'loadbalance' },
      targets: ['key-a', 'key-b'].map(key => target(key, upstream)),
    }),
  }
  const names = Object.keys(ways)
  const pools = Object.fromEntries(names.map(name => [name, new Pool(ways[name].origin, { connections: AT_ONCE })]))
  const found = Object.fromEntries(names.map(name => [name, { alone: [], rate: [] }]))
  // In turn, forth and back: the machine's moods come to all of them alike. The first rounds warm up.
  for (let round = -2; round < ROUNDS; round++) {
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      const alone = await load(pools[name], ways[name], COUNT / 4, 1)
      const many = await load(pools[name], ways[name], COUNT, AT_ONCE)
      if (round < 0) continue
      found[name].alone.push(alone.each)
      found[name].rate.push(many.rate)
    }
  }
  for (const name of names) {
    await pools[name].close()
    ways[name].stop()
  }
  chat.disconnect()
  const of = name => ({ alone: median(found[name].alone), rate: median(found[name].rate) })
  const [none, peer] = [of('no gateway'), of('@portkey-ai/gateway')]
  return {
    title: 'Gateways',
    about: `A chat completion of a service on loopback that answers at once, straight and through gateways with two keys: one request at a time, and ${AT_ONCE} at once; medians of ${ROUNDS} rounds in turn.`,
    head: ['way', 'added, one at a time (ms)', 'of Portkey’s', `requests a second, ${AT_ONCE} at once`, 'of Portkey’s'],
    rows: names.map(name => {
      const { alone, rate } = of(name)
      const added = alone - none.alone
      return [
        name,
        fixed(added, 3),
        fixed(added / (peer.alone - none.alone), 2),
        fixed(rate, 0),
        fixed(rate / peer.rate, 2),
      ]
    }),
  }
}
