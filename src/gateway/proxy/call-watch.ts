import { AsyncLocalStorage } from 'node:async_hooks'
import type { PooledFetch, RequestFinishedEvent } from 'fetch-keypool'

/** What the pool has told of the call that a request became; `undefined`: it became none, or is still on its way. */
export interface Watched {
  call: RequestFinishedEvent | undefined
}

/** Brings what pools tell of calls to the requests that they are made for: a pool's listeners run in its callers' contexts. */
export class CallWatch {
  readonly #requests = new AsyncLocalStorage<Watched>()

  observe({ pool }: PooledFetch): void {
    pool.on('request-finished', event => {
      const watched = this.#requests.getStore()
      // What is revalidated in the background afterwards is a call of its own.
      if (watched) watched.call ??= event
    })
  }

  /** Makes the call of a request. */
  run<Result>(watched: Watched, call: () => Result): Result {
    return this.#requests.run(watched, call)
  }
}
