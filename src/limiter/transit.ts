/** For how long after the first request connections are taken to be still opening, and how long that may take. */
const COLD = 150

/**
 * How much longer one request may take to arrive than the one that takes up its place a window later.
 *
 * Only that difference matters: a delay that all have in common shifts the server's windows with ours. It is large at
 * the beginning, when connections are opened, and small from then on.
 */
export class Transit {
  #firstAt: number | undefined

  departed(at: number): void {
    this.#firstAt ??= at
  }

  /** The time after which a request that left at `departedAt` is taken to have arrived, where `usual` is enough later on. */
  slack(departedAt: number, usual: number): number {
    const cold = this.#firstAt === undefined || departedAt <= this.#firstAt + COLD
    return cold ? Math.max(usual, COLD) : usual
  }
}
