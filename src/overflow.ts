import type { Clock } from './clock.js'
import { LinkedList, type ListItem } from './pool/linked-list.js'

/** So many calls stand in line with all that they need to be sent, at most; the others wait as little more than a promise. */
const CROWD = 1_000

export interface OverflowHost {
  readonly clock: Clock
  /** The longest that a call waits, in milliseconds. */
  readonly maxWait: number
  /** How many stand in line. */
  inLine(): number
}

class Waiting implements ListItem<Waiting> {
  readonly signal: AbortSignal | undefined
  readonly since: number
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
  /** What is called when its signal aborts. */
  aborted: (() => void) | undefined
  list: LinkedList<Waiting> | undefined
  before: Waiting | undefined
  after: Waiting | undefined

  constructor(signal: AbortSignal | undefined, since: number, resolve: () => void, reject: (reason: unknown) => void) {
    this.signal = signal
    this.since = since
    this.resolve = resolve
    this.reject = reject
  }
}

/**
 * Where calls wait that stand far back in line: a hundred thousand of them must not take a hundred thousand times what a
 * call takes on its way through the layers.
 *
 * They keep their order, and their time counts; each goes on by itself, in the context of its caller, when the line has
 * grown shorter, or when its time is up, so that it ends as any other does.
 */
export class Overflow {
  readonly #host: OverflowHost
  readonly #waiting = new LinkedList<Waiting>()
  /** How many have been let go on and have not joined the line yet. */
  #entering = 0
  #disarm: (() => void) | undefined
  #isAdmitting = false

  constructor(host: OverflowHost) {
    this.#host = host
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Whether a call that came now would stand far back, or behind others that do. */
  get isNeeded(): boolean {
    return this.#waiting.size > 0 || this.#host.inLine() >= CROWD
  }

  /** Settles when a call may go on. @throws the signal's reason when it aborts */
  turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const { clock } = this.#host
      const waiting = new Waiting(signal, clock.now(), resolve, reject)
      if (signal) {
        waiting.aborted = () => this.#giveUp(waiting)
        clock.aborts.add(signal, waiting.aborted)
      }
      this.#waiting.append(waiting)
      if (!this.#disarm) this.#arm()
    })
  }

  /** A call whose turn it was has gone on. */
  entered(): void {
    this.#entering--
  }

  /** Lets those in whose turn it is; call it when the line has grown shorter. */
  admit(): void {
    if (this.#waiting.size === 0 || this.#isAdmitting || this.#host.inLine() + this.#entering > CROWD / 2) return
    this.#isAdmitting = true
    // Not in the midst of serving the line, which this makes longer.
    queueMicrotask(() => {
      this.#isAdmitting = false
      for (let left = CROWD - this.#host.inLine() - this.#entering; left > 0 && this.#waiting.first; left--) {
        this.#enter(this.#waiting.first as Waiting)
      }
    })
  }

  /** Lets all in, to be told what there is to be told. */
  clear(): void {
    while (this.#waiting.first) this.#enter(this.#waiting.first as Waiting)
  }

  #enter(waiting: Waiting): void {
    this.#leave(waiting)
    this.#entering++
    waiting.resolve()
  }

  #giveUp(waiting: Waiting): void {
    this.#leave(waiting)
    waiting.reject(waiting.signal!.reason)
  }

  #leave(waiting: Waiting): void {
    this.#waiting.remove(waiting)
    const { signal, aborted } = waiting
    if (aborted) this.#host.clock.aborts.remove(signal!, aborted)
    if (this.#waiting.size > 0) return
    this.#disarm?.()
    this.#disarm = undefined
  }

  /** All wait equally long, so that the first in line is the first whose time is up. */
  #arm(): void {
    const first = this.#waiting.first
    if (!first) return
    const { clock, maxWait } = this.#host
    this.#disarm = clock.schedule(
      () => {
        this.#disarm = undefined
        const now = clock.now()
        while (this.#waiting.first && this.#waiting.first.since + maxWait <= now) {
          this.#enter(this.#waiting.first as Waiting)
        }
        this.#arm()
      },
      Math.max(0, first.since + maxWait - clock.now()),
    )
  }
}
