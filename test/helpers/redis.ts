import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Whether a Redis server can be started here; said aloud where not, as tests are left out then. */
export const hasRedis = spawnSync('redis-server', ['--version']).status === 0
if (!hasRedis) console.warn('NO redis-server IS INSTALLED: the tests that need one are SKIPPED.')

export interface RunningRedis {
  readonly port: number
  readonly url: string
  /** Ends it as a power cut would, or as asked. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again on its port, empty. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** A Redis server of the test's own, in memory, on a free port. */
export async function startRedis(args: readonly string[] = []): Promise<RunningRedis> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'keypool-redis-'))
  let process: ChildProcess | undefined

  async function start(): Promise<void> {
    const started = spawn(
      'redis-server',
      ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder, ...args],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    process = started
    await new Promise<void>((resolve, reject) => {
      started.once('exit', code => reject(new Error(`redis-server ended with ${code}`)))
      started.stdout.on('data', (chunk: Buffer) => {
        if (chunk.includes('Ready to accept connections')) resolve()
      })
    })
  }

  async function kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const running = process
    process = undefined
    if (!running || running.exitCode !== null) return
    const ended = new Promise(resolve => running.once('exit', resolve))
    running.kill(signal)
    await ended
  }

  await start()
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    kill,
    restart: start,
    async stop() {
      await kill()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}
