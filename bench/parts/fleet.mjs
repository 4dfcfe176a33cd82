import { fork, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { fixed } from '../measure.mjs'
import { freePort } from '../servers/free-port.mjs'

const KEYS = ['bench-key-a', 'bench-key-b', 'bench-key-c', 'bench-key-d']
const LIMITS = { requests: 50, per: 1_000, burst: 10 }
const COUNT = 1_500
const PROCESSES = 4
const KILLED = { after: 2_000, for: 1_500 }

function startRedis(port) {
  return spawn('redis-server', ['--port', String(port), '--save', '', '--appendonly', 'no'], { stdio: 'ignore' })
}

async function run(way, isKilled) {
  const port = await freePort()
  let server = startRedis(port)
  const redis = `redis://127.0.0.1:${port}`
  const client = new Redis(redis)
  client.on('error', () => {})
  await client.ping()
  const quotas = fork(
    fileURLToPath(new URL('../servers/quota.mjs', import.meta.url)),
    [JSON.stringify({ keys: Object.fromEntries(KEYS.map(key => [key, LIMITS])) })],
    { execArgv: [] },
  )
  const [{ url }] = await once(quotas, 'message')
  const settings = { way, url, redis, keys: KEYS, limits: LIMITS, count: COUNT / PROCESSES, processes: PROCESSES }
  const script = fileURLToPath(new URL('../servers/fleet-worker.mjs', import.meta.url))
  const workers = Array.from({ length: PROCESSES }, () => fork(script, [JSON.stringify(settings)], { execArgv: [] }))
  await Promise.all(workers.map(worker => once(worker, 'message')))
  await new Promise(resolve => setTimeout(resolve, 1_500))
  const before = isKilled ? undefined : await commands(client)
  quotas.send('stats')
  const [{ counts: warm }] = await once(quotas, 'message')
  const from = performance.now()
  const done = workers.map(worker => once(worker, 'message'))
  for (const worker of workers) worker.send('go')
  if (isKilled) {
    setTimeout(() => {
      server.kill('SIGKILL')
      setTimeout(() => {
        server = startRedis(port)
      }, KILLED.for)
    }, KILLED.after)
  }
  const late = new Promise(resolve => setTimeout(resolve, 60_000, undefined).unref())
  const failed = await Promise.race([Promise.all(done), late])
  const took = performance.now() - from
  quotas.send('stats')
  const [{ counts }] = await once(quotas, 'message')
  const after = before && (await commands(client))
  for (const worker of workers) worker.kill('SIGKILL')
  quotas.disconnect()
  client.disconnect()
  server.kill('SIGKILL')
  const least = (COUNT - KEYS.length * LIMITS.burst) / ((KEYS.length * LIMITS.requests) / LIMITS.per)
  const sum = failed?.reduce((total, [each]) => total + each, 0)
  return [
    way + (isKilled ? ', Redis killed and back' : ''),
    failed ? fixed(least / took, 2) : 'not done in a minute',
    fixed(((counts.refused - warm.refused) * 1_000) / COUNT, 1),
    sum === undefined ? '' : String(sum),
    before ? fixed((after.sent - before.sent) / COUNT, 2) : '',
    before ? fixed((after.run - before.run) / COUNT, 2) : '',
  ]
}

/** Commands that clients have sent, and with those that scripts have run. */
async function commands(client) {
  const run = Number(/total_commands_processed:(\d+)/.exec(await client.info('stats'))[1])
  const text = await client.info('commandstats')
  const of = name => Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(text)?.[1] ?? 0)
  return { run, sent: ['evalsha', 'eval', 'publish', 'set', 'get', 'del'].reduce((sum, name) => sum + of(name), 0) }
}

export default async function fleet() {
  if (spawnSync('redis-server', ['--version']).status !== 0) throw new Error('redis-server is not installed')
  const rows = [
    await run('fetch-keypool with redisSharing', false),
    await run('fetch-keypool with redisSharing', true),
    await run('fetch-keypool, a part of the limits for each', false),
    await run('Bottleneck clustering + p-retry', false),
    await run('Bottleneck clustering + p-retry', true),
  ]
  return {
    title: 'Four processes, one quota',
    about:
      'Four processes send 1,500 requests with the same four keys (50/s, burst 10 each), all at once. Pace: of what the quotas allow. Commands: sent to Redis, and run there with those in scripts.',
    head: ['way', 'pace', 'refused in 1,000', 'failed', 'commands sent a request', 'run'],
    rows,
  }
}
