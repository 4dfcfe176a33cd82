import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Limit } from 'fetch-keypool'

export interface FleetSettings {
  readonly url: string
  readonly redis: string
  readonly keys: readonly string[]
  readonly limits: Limit
  /** How many requests each process sends, all at once. */
  readonly count: number
}

export interface FleetResult {
  /** Statuses, or the messages of errors. */
  readonly answers: (number | string)[]
  readonly events: string[]
}

export interface Worker {
  readonly process: ChildProcess
  /** Lets it send its requests. */
  run(): Promise<FleetResult>
  /** Settles when it has ended. */
  readonly ended: Promise<unknown>
}

/** Starts a process of a fleet, which waits to be told to run. */
export async function startWorker(settings: FleetSettings): Promise<Worker> {
  const script = fileURLToPath(new URL('./fleet-worker.ts', import.meta.url))
  const child = fork(script, [JSON.stringify(settings)], { execArgv: ['--import', 'tsx'] })
  const ended = once(child, 'exit')
  await once(child, 'message')
  return {
    process: child,
    ended,
    async run() {
      const answer = once(child, 'message')
      child.send('run')
      return (await answer)[0] as FleetResult
    },
  }
}
