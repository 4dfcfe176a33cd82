import process from 'node:process'
import type { Question, SiblingNews, Siblings } from 'fetch-keypool/gateway'
import { type FromWorker, PLACE, type ToWorker } from './messages.js'

/** What a worker knows of the process that has started it, and of the others. */
export interface WorkerSiblings extends Siblings {
  /** Says that it listens. */
  listening(url: string): void
  /** Tells of what is to be done: reading the configuration again, and ending. */
  on(todo: { reload(): void; end(): void }): void
}

/** The other workers, by way of the process that has started all; `undefined` where this is no worker. */
export function workerSiblings(): WorkerSiblings | undefined {
  const place = /^(\d+)\/(\d+)$/.exec(process.env[PLACE] ?? '')
  if (!place || !process.send) return undefined
  const send = (message: FromWorker) => {
    // The other end may be gone: this one then ends too.
    if (process.connected) process.send!(message)
  }
  const waiting = new Map<number, (answers: readonly unknown[]) => void>()
  let asks = 0
  let asked: (question: Question) => unknown = () => undefined
  let told: (news: SiblingNews) => void = () => {}
  let todo = { reload() {}, end() {} }

  async function answer(id: number, question: Question): Promise<void> {
    send({ kind: 'answer', id, answer: await asked(question) })
  }

  process.on('message', (message: ToWorker) => {
    switch (message.kind) {
      case 'asked':
        void answer(message.id, message.question)
        return
      case 'answers':
        waiting.get(message.id)?.(message.answers)
        waiting.delete(message.id)
        return
      case 'told':
        told(message.news)
        return
      case 'reload':
        todo.reload()
        return
      case 'end':
        todo.end()
    }
  })
  // Whoever has started it is gone: nobody would end it any more.
  process.on('disconnect', () => todo.end())
  return {
    ...{ index: Number(place[1]), size: Number(place[2]) },
    ask: question =>
      new Promise(resolve => {
        const id = ++asks
        waiting.set(id, answers => resolve([...answers]))
        send({ kind: 'ask', id, question })
      }),
    tell: news => send({ kind: 'tell', news }),
    listen(whenAsked, whenTold) {
      asked = whenAsked
      told = whenTold
    },
    listening: url => send({ kind: 'listening', url }),
    on(given) {
      todo = given
    },
  }
}
