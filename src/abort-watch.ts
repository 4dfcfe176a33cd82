/**
 * Listens to signals, with one listener for each, however many wait on it.
 *
 * A listener for each wait would make the runtime warn of a leak, and take quadratic time to be taken away again.
 */
export class AbortWatch {
  readonly #watched = new Map<AbortSignal, { readonly callbacks: Set<() => void>; readonly listener: () => void }>()

  /** Calls `callback` when the signal aborts, which it has not yet; returns the function that takes it away again. */
  on(signal: AbortSignal, callback: () => void): () => void {
    let watched = this.#watched.get(signal)
    if (!watched) {
      const callbacks = new Set<() => void>()
      const listener = () => {
        this.#watched.delete(signal)
        for (const each of callbacks) each()
      }
      watched = { callbacks, listener }
      this.#watched.set(signal, watched)
      signal.addEventListener('abort', listener, { once: true })
    }
    const { callbacks, listener } = watched
    callbacks.add(callback)
    return () => {
      callbacks.delete(callback)
      if (callbacks.size > 0 || this.#watched.get(signal)?.listener !== listener) return
      this.#watched.delete(signal)
      signal.removeEventListener('abort', listener)
    }
  }
}
