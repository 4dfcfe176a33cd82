import { KeypoolError } from '../errors.js'
import type { Settings } from '../settings.js'
import type { KeyRegistry } from './key-registry.js'

/** Brings the keys in, from the list or from the program's function. */
export function keySource({ keys }: Settings, registry: KeyRegistry, changed: () => void) {
  const { load } = keys
  let loaded = false
  let loading: Promise<void> | undefined

  const take = (inputs: unknown) => {
    registry.replaceSourced(keys.readAll(inputs))
    loaded = true
    changed()
  }
  const failure = (error: unknown) =>
    KeypoolError.is(error)
      ? error
      : new KeypoolError('ERR_KEYS_UNAVAILABLE', "The function given as 'keys' failed.", { cause: error })
  const refresh = (): Promise<void> => {
    if (!load) return Promise.resolve()
    loading ??= (async () => {
      try {
        take(await load())
      } catch (error) {
        throw failure(error)
      } finally {
        loading = undefined
      }
    })()
    return loading
  }

  if (!load) {
    for (const key of keys.list) registry.add(key)
    loaded = true
  } else {
    // A function that has its keys at hand is heard at once, so that a bad list is told where the options are given.
    let brought: unknown
    try {
      brought = load()
    } catch (error) {
      throw failure(error)
    }
    if (isThenable(brought)) {
      loading = Promise.resolve(brought)
        .then(take)
        .catch(error => {
          throw failure(error)
        })
      loading
        .finally(() => {
          loading = undefined
        })
        // The first request meets the error, and asks again: until one comes there is nobody to tell.
        .catch(() => {})
    } else take(brought)
  }
  return {
    refresh,
    ready: () => (loaded ? undefined : refresh()),
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null)?.then === 'function'
}
