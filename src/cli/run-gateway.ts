import { createHash } from 'node:crypto'
import { readFileSync, watch } from 'node:fs'
import { dirname } from 'node:path'
import process from 'node:process'
import { KeypoolError } from 'fetch-keypool'
import { createGateway, type ReadConfig, readConfig } from 'fetch-keypool/gateway'
import { whenNpmHasGone } from './parent.js'
import { runWorkers } from './workers/run-workers.js'
import { type WorkerSiblings, workerSiblings } from './workers/worker-siblings.js'

/** Editors write a file in several steps: it is read when it has been left alone for so long, in milliseconds. */
const SETTLED = 200

/** Runs a gateway till it is told to end. */
export async function runGateway(
  path: string,
  over: { host: string | undefined; port: string | undefined },
): Promise<void> {
  const port = over.port === undefined ? undefined : Number(over.port)
  if (port !== undefined && !Number.isInteger(port))
    throw new KeypoolError('ERR_CONFIG', `--port: a number, not '${over.port}'.`)
  const withOptions = ({ config, ...rest }: ReadConfig): ReadConfig => ({
    ...rest,
    config: {
      ...config,
      listen: { ...config.listen, ...(over.host ? { host: over.host } : {}), ...(port === undefined ? {} : { port }) },
    },
  })
  let read = withOptions(await readConfig(path))
  const siblings = workerSiblings()
  const { workers = 1, redis } = read.config
  const begun = (url: string) => {
    say(`fetch-keypool gateway: ${url}, ${Object.keys(read.config.routes).join(', ')}`)
    if (read.config.dashboard !== false) say(`dashboard: ${url}/__keypool/`)
    if (workers === 1) return
    const how = redis
      ? 'which share all limits over Redis'
      : 'each with its part of each limit: with redis they would share'
    say(`${workers} workers, ${how}`)
  }
  if (workers > 1 && !siblings) {
    await runWorkers(workers, say, begun)
    process.exit()
  }
  const gateway = await createGateway(read.config, siblings).catch(error => {
    throw read.locate(error)
  })
  process.on('uncaughtException', error => {
    if (!gateway.contain(error)) throw error
  })
  const url = await gateway.listen()
  if (siblings) siblings.listening(url)
  else begun(url)
  // What is the same for all workers is told by one of them.
  const announce = siblings && siblings.index > 0 ? () => {} : say

  let reloading = Promise.resolve()
  const reload = () => {
    reloading = reloading.then(async () => {
      let next: ReadConfig | undefined
      try {
        next = withOptions(await readConfig(path))
        await gateway.reload(next.config)
        read = next
        rewatch()
        announce('The configuration was read again.')
      } catch (error) {
        const located = next ? next.locate(error) : error
        announce(`The configuration stays as it was: ${(located as Error).message}`)
      }
    })
  }

  let watchers: { close(): void }[] = []
  let timer: NodeJS.Timeout | undefined
  function rewatch(): void {
    for (const each of watchers) each.close()
    // The folder, as a file that is replaced is another file; and whatever happens there, as it may be a link elsewhere.
    const before = contentsOf(read.files)
    watchers = [...new Set(read.files.map(file => dirname(file)))].map(folder =>
      watch(folder, () => {
        clearTimeout(timer)
        timer = setTimeout(() => {
          if (contentsOf(read.files) !== before) reload()
        }, SETTLED)
      }),
    )
  }
  rewatch()
  process.on('SIGHUP', reload)
  const reason = await untilTold(siblings, reload)
  if (!siblings) say(`${reason}: ending when requests on their way are answered; once more ends at once.`)
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => process.exit(1))
  clearTimeout(timer)
  for (const each of watchers) each.close()
  await gateway.close()
  process.exit(0)
}

/** @returns why it is to end */
function untilTold(siblings: WorkerSiblings | undefined, reload: () => void): Promise<string> {
  return new Promise(resolve => {
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve(name))
    siblings?.on({ reload, end: () => resolve('end') })
    if (!siblings) whenNpmHasGone(() => resolve('npm has gone'))
  })
}

function say(message: string): void {
  process.stderr.write(`${message}\n`)
}

/** A digest of what stands in files; one that can't be read counts as empty. */
function contentsOf(files: readonly string[]): string {
  const hash = createHash('sha256')
  for (const file of files) {
    try {
      hash.update(readFileSync(file))
    } catch {
      // It is just being replaced: the next event tells.
      hash.update('')
    }
  }
  return hash.digest('hex')
}
