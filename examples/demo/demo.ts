/**
 * The main job, in front of your eyes. By itself it starts a provider on loopback, with four keys of different limits,
 * one of them dead and one that runs out of its quota midway, and sends 500 requests through the wrapped fetch.
 *
 *   npm run demo
 *   npm run demo -- --url https://api.example.com/v1/things --keys-from MY_API_KEYS [--count 100] [--limits 60/1m]
 *
 * `MY_API_KEYS` is an environment variable with the keys, separated by commas.
 */
import { parseArgs, styleText } from 'node:util'
import Table from 'cli-table3'
import { type KeyInput, type Limit, type PooledFetch, wrapFetch } from 'fetch-keypool'
import logUpdate from 'log-update'
import { leastTime } from './least-time.js'
import { startProvider } from './start-provider.js'

interface Job {
  readonly fetch: PooledFetch
  readonly urls: readonly string[]
  /** The least time that the quotas allow, in milliseconds, where it is known. */
  readonly least: number | undefined
  finish(): Promise<void>
}

const { values: args } = parseArgs({
  options: {
    url: { type: 'string' },
    'keys-from': { type: 'string' },
    count: { type: 'string' },
    limits: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
  },
})
const USAGE = 'npm run demo [-- --url URL --keys-from ENV_NAME [--count 100] [--limits 60/1m]]'

async function ownProvider(): Promise<Job> {
  const quotas = {
    'demo-secret-of-alice': { requests: 40, per: 1000, burst: 10 },
    'demo-secret-of-bob': { requests: 25, per: 1000, burst: undefined },
    'demo-secret-of-carol': { requests: 60, per: 1000, burst: undefined, quota: 60 },
    'demo-secret-of-dave': { dead: true },
  }
  const provider = await startProvider({ keys: quotas, latency: [10, 60] })
  const keys: KeyInput[] = Object.entries(quotas).map(([value, quota]) => ({
    value,
    id: value.replace('demo-secret-of-', ''),
    // Nobody knows yet that the last one is dead: it is declared like the others.
    limits:
      'requests' in quota
        ? { requests: quota.requests, per: quota.per, burst: quota.burst }
        : { requests: 40, per: 1000 },
  }))
  const fetch = wrapFetch(globalThis.fetch, { origins: provider.url, keys })
  // Every tenth asks for the same popular thing, which the provider lets be cached.
  const urls = Array.from({ length: 500 }, (_, index) =>
    index % 10 === 9 ? `${provider.url}/popular` : `${provider.url}/item/${index}`,
  )
  const sent = new Set(urls).size
  return {
    fetch,
    urls,
    least: leastTime(sent, Object.values(quotas)),
    async finish() {
      await fetch.close()
      provider.stop()
    },
  }
}

function realApi(url: string, variable: string): Job {
  const values = (process.env[variable] ?? '')
    .split(',')
    .map(value => value.trim())
    .filter(value => value !== '')
  if (values.length === 0) fail(`The environment variable ${variable} holds no keys: expected KEY1,KEY2,…`)
  const [, requests, per] = /^(\d+)\/(\w+)$/.exec(args.limits ?? '') ?? []
  if (args.limits !== undefined && !requests) fail(`--limits: expected such as 60/1m, got '${args.limits}'.`)
  const count = Number(args.count ?? 100)
  if (!Number.isInteger(count) || count < 1) fail(`--count: expected a whole number above 0, got '${args.count}'.`)
  if (!URL.canParse(url)) fail(`--url: expected an absolute URL, got '${url}'.`)
  const limits: Limit | undefined = requests && per ? { requests: Number(requests), per } : undefined
  const fetch = wrapFetch(globalThis.fetch, {
    origins: new URL(url).origin,
    keys: values,
    ...(limits ? { limits } : {}),
    cache: false,
  })
  return { fetch, urls: Array.from({ length: count }, () => url), least: undefined, finish: () => fetch.close() }
}

function fail(message: string): never {
  console.error(`${message}\n${USAGE}`)
  process.exit(1)
}

/** Shows how far it is: one living line on a terminal, a plain one now and then elsewhere. */
function progress({ fetch, urls }: Job) {
  const from = performance.now()
  let done = 0
  let refused = 0
  const living = process.stdout.isTTY === true
  const line = () => {
    const width = 30
    const filled = Math.round((done / urls.length) * width)
    const { waiting, inFlight } = fetch.pool.stats()
    const bar = '█'.repeat(filled) + '░'.repeat(width - filled)
    const seconds = ((performance.now() - from) / 1000).toFixed(1)
    return `${bar} ${done}/${urls.length} answered, ${inFlight} in flight, ${waiting} waiting, ${refused} refused, ${seconds} s`
  }
  const keys = () =>
    fetch.pool.keys().map(({ id, state, cause, until, remaining }) => {
      const colour = state === 'ready' ? 'green' : state === 'busy' ? 'cyan' : state === 'disabled' ? 'red' : 'yellow'
      const left = remaining === null ? '' : `, ${remaining} left`
      const back = until && cause ? `, back at ${until.toLocaleTimeString()}` : ''
      return `  ${id}: ${styleText(colour, state)}${cause ? ` (${cause})` : left}${back}`
    })
  const show = () => (living ? logUpdate([line(), ...keys()].join('\n')) : console.log(line()))
  const timer = setInterval(show, living ? 80 : 1000)
  return {
    answered: () => done++,
    refused: () => refused++,
    end() {
      clearInterval(timer)
      show()
      if (living) logUpdate.done()
    },
  }
}

function report({ fetch, least }: Job, took: number, statuses: ReadonlyMap<string, number>): void {
  const stats = fetch.pool.stats()
  const table = new Table({
    head: ['key', 'calls', 'refused', 'state', 'cause', 'back at'],
    style: { head: [], border: [] },
  })
  for (const { id, state, cause, lastCause, until } of fetch.pool.keys()) {
    const { attempts = 0, refusals = {} } = stats.keys[id] ?? {}
    const refused = Object.values(refusals).reduce((sum, count) => sum + count, 0)
    table.push([
      id,
      attempts,
      refused,
      state,
      cause ?? (lastCause ? `was ${lastCause}` : '—'),
      cause && until ? until.toLocaleTimeString() : '—',
    ])
  }
  console.log(`\n${table.toString()}`)
  const refused = Object.values(stats.refusals).reduce((sum, count) => sum + count, 0)
  const facts: [string, string | number][] = [
    ['answers', [...statuses].map(([status, count]) => `${count} × ${status}`).join(', ')],
    ['time taken', `${(took / 1000).toFixed(2)} s`],
    ...(least === undefined
      ? []
      : ([['least time that the quota allows', `${(least / 1000).toFixed(2)} s`]] as [string, string][])),
    ['calls refused', `${refused} of ${stats.attempts}`],
    ['answers from the cache', stats.cache.hits],
  ]
  for (const [name, value] of facts) console.log(`${name}: ${value}`)
}

async function main(): Promise<void> {
  if (args.help) return console.log(USAGE)
  if ((args.url === undefined) !== (args['keys-from'] === undefined)) fail('--url and --keys-from go together.')
  const job =
    args.url !== undefined && args['keys-from'] !== undefined
      ? realApi(args.url, args['keys-from'])
      : await ownProvider()
  const { fetch, urls } = job
  console.log(`${urls.length} requests at once, over ${fetch.pool.keys().length} keys.`)
  const shown = progress(job)
  fetch.pool.on('key-exhausted', shown.refused)
  fetch.pool.on('key-disabled', shown.refused)
  const statuses = new Map<string, number>()
  const from = performance.now()
  await Promise.all(
    urls.map(async url => {
      const outcome = await fetch(url).then(
        async response => {
          await response.arrayBuffer()
          return String(response.status)
        },
        (error: unknown) => (error instanceof Error ? `${error.name}: ${error.message}` : String(error)),
      )
      statuses.set(outcome, (statuses.get(outcome) ?? 0) + 1)
      shown.answered()
    }),
  )
  const took = performance.now() - from
  shown.end()
  report(job, took, statuses)
  await job.finish()
}

await main()
