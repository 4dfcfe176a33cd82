import cluster, { type Worker } from 'node:cluster'
import process from 'node:process'
import { whenNpmHasGone } from '../parent.js'
import { type FromWorker, PLACE, type ToWorker } from './messages.js'

/** A worker that has died is started again after so long, in milliseconds. */
const AGAIN = 1_000
/** How long workers may take to answer each other, in milliseconds. */
const PATIENCE = 2_000

/** Who waits for the answers of the others. */
interface Asking {
  readonly missing: Set<Worker>
  readonly answers: unknown[]
  readonly done: () => void
}

/**
 * Runs a gateway in several processes that listen at one address, till it is told to end.
 *
 * @param ready - called when all listen for the first time, with where
 */
export async function runWorkers(
  size: number,
  say: (message: string) => void,
  ready: (url: string) => void,
): Promise<void> {
  const workers = new Map<number, Worker>()
  const asking = new Map<number, Asking>()
  const listening = new Set<number>()
  let asks = 0
  let isEnding = false
  let isReady = false
  const send = (worker: Worker, message: ToWorker) => {
    if (worker.isConnected()) worker.send(message)
  }

  function start(index: number): void {
    const worker = cluster.fork({ [PLACE]: `${index}/${size}` })
    workers.set(index, worker)
    worker.on('message', (message: FromWorker) => heard(index, worker, message))
    worker.on('error', error => say(`worker ${index + 1}: ${error.message}`))
    worker.on('exit', (code, signal) => {
      workers.delete(index)
      for (const each of asking.values()) answered(each, worker, undefined)
      if (isEnding) return
      // What can't even begin would not the next time either.
      if (!isReady) {
        process.exitCode = code || 1
        end()
        return
      }
      say(`worker ${index + 1} has ended (${signal ?? code}): another one is started.`)
      setTimeout(() => {
        if (!isEnding) start(index)
      }, AGAIN)
    })
  }

  function heard(index: number, from: Worker, message: FromWorker): void {
    switch (message.kind) {
      case 'listening':
        listening.add(index)
        if (listening.size === size && !isReady) {
          isReady = true
          ready(message.url)
        }
        return
      case 'tell':
        for (const worker of workers.values()) if (worker !== from) send(worker, { kind: 'told', news: message.news })
        return
      case 'answer': {
        const waiting = asking.get(message.id)
        if (waiting) answered(waiting, from, message.answer)
        return
      }
      case 'ask': {
        const others = [...workers.values()].filter(worker => worker !== from)
        const id = ++asks
        const answers: unknown[] = []
        const timer = setTimeout(() => done(), PATIENCE)
        const done = () => {
          clearTimeout(timer)
          if (asking.delete(id)) send(from, { kind: 'answers', id: message.id, answers })
        }
        asking.set(id, { missing: new Set(others), answers, done })
        for (const worker of others) send(worker, { kind: 'asked', id, question: message.question })
        if (others.length === 0) done()
      }
    }
  }

  function answered({ missing, answers, done }: Asking, worker: Worker, answer: unknown): void {
    if (!missing.delete(worker)) return
    if (answer !== undefined) answers.push(answer)
    if (missing.size === 0) done()
  }

  let ended: () => void
  const whenEnded = new Promise<void>(resolve => {
    ended = resolve
  })
  function end(): void {
    isEnding = true
    const all = [...workers.values()]
    if (all.length === 0) ended()
    let left = all.length
    for (const worker of all) {
      worker.once('exit', () => {
        if (--left === 0) ended()
      })
      send(worker, { kind: 'end' })
    }
  }

  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => {
      say(`${name}: ending when requests on their way are answered; once more ends at once.`)
      process.once(name, () => {
        for (const worker of workers.values()) worker.process.kill('SIGKILL')
        process.exit(1)
      })
      end()
    })
  }
  whenNpmHasGone(end)
  process.on('SIGHUP', () => {
    for (const worker of workers.values()) send(worker, { kind: 'reload' })
  })
  for (let index = 0; index < size; index++) start(index)
  await whenEnded
}
