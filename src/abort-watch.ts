/**
 * Listens to signals, with one listener for each, however many wait on it.
 *
 * A listener for each wait would make the runtime warn of a leak, and take quadratic time to be taken away again.
 */
export class AbortWatch {
  readonly #watched = new Map<AbortSignal, { readonly callbacks: Set<() => void>; readonly listener: () => void }>()

  /** Calls `callback` when the signal aborts, which it has not yet; returns the function that takes it away again. */
  on(signal: AbortSignal, callback: () => void): () => void {
    this.add(signal, callback)
    return () => this.remove(signal, callback)
  }

  /** The same, to be taken away by `remove`: where there may be very many. */
  add(signal: AbortSignal, callback: () => void): void {
    let watched = this.#watched.get(signal)
    if (!watched) {
      const callbacks = new Set<() => void>()
      const listener = () => {
        // One may take another away: that one is not called any more.
        for (const each of callbacks) each()
        this.#watched.delete(signal)
      }
      watched = { callbacks, listener }
      this.#watched.set(signal, watched)
      signal.addEventListener('abort', listener, { once: true })
    }
    watched.callbacks.add(callback)
  }

  remove(signal: AbortSignal, callback: () => void): void {
    const watched = this.#watched.get(signal)
    if (!watched?.callbacks.delete(callback) || watched.callbacks.size > 0) return
    this.#watched.delete(signal)
    signal.removeEventListener('abort', watched.listener)
  }
}
