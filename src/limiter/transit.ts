/** For how long after the first request connections are taken to be still opening, and how long that may take. */
const COLD = 150
/** What is remembered of the longest turn of the event loop with each further one. */
const FADE = 0.98

/**
 * How much longer one request may take to arrive than the one that takes up its place a window later.
 *
 * Only that difference matters: a delay that all have in common shifts the server's windows with ours. It is large at
 * the beginning, when connections are opened, and small from then on, unless the process has much else to do.
 */
export class Transit {
  #firstAt: number | undefined
  #lag = 0

  departed(at: number): void {
    this.#firstAt ??= at
  }

  /** How long the process has just kept a request from leaving, in milliseconds. */
  lagged(lag: number): void {
    this.#lag = Math.max(lag, this.#lag * FADE)
  }

  /** The time after which a request that left at `departedAt` is taken to have arrived, where `usual` is enough later on. */
  slack(departedAt: number, usual: number): number {
    const cold = this.#firstAt === undefined || departedAt <= this.#firstAt + COLD
    return Math.max(usual, this.#lag, cold ? COLD : 0)
  }
}
