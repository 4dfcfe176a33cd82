/**
 * Tells what a value is whatever class it was made with: the platform's of now, one that was there before it was patched,
 * another realm's (test runners have realms of their own), or another implementation's (undici from the registry,
 * polyfills). Classes are looked up when they are needed, never while a module is loaded: they may be patched later, or
 * not be there at all.
 */

const NEEDED = [
  'AbortController',
  'AbortSignal',
  'Headers',
  'ReadableStream',
  'Request',
  'Response',
  'TextDecoder',
  'TextEncoder',
  'URL',
] as const

/** The classes of the web that this library works with and this environment lacks, as test environments of a browser do. */
export function missingClasses(): string[] {
  return NEEDED.filter(name => typeof globalThis[name] !== 'function')
}

/** What `Object.prototype.toString` calls a value: `'Request'` for every `Request`. */
function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice('[object '.length, -1)
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

/** Whether a value is a `Request` of the platform's own, which its `fetch` takes as it is. */
export function isOwnRequest(value: unknown): value is Request {
  return typeof globalThis.Request === 'function' && value instanceof globalThis.Request
}

/** Whether a value is a `Request` of any implementation. */
export function isRequest(value: unknown): value is Request {
  if (isOwnRequest(value)) return true
  return isObject(value) && tagOf(value) === 'Request' && typeof (value as Request).url === 'string'
}

/** Whether a value is an error of any realm. */
export function isError(value: unknown): value is Error {
  if (value instanceof Error) return true
  const tag = isObject(value) ? tagOf(value) : ''
  return tag === 'Error' || tag === 'DOMException'
}

/** Whether a value is a signal, or behaves as one: `fetch` takes both. */
export function isAbortSignal(value: unknown): value is AbortSignal {
  if (!isObject(value)) return false
  const { aborted, addEventListener } = value as Partial<AbortSignal>
  return typeof aborted === 'boolean' && typeof addEventListener === 'function'
}

export function isArrayBuffer(value: unknown): value is ArrayBuffer {
  return tagOf(value) === 'ArrayBuffer'
}

export function isBlob(value: unknown): value is Blob {
  const tag = tagOf(value)
  return tag === 'Blob' || tag === 'File'
}

export function isFormData(value: unknown): value is FormData {
  return tagOf(value) === 'FormData'
}

export function isSearchParams(value: unknown): value is URLSearchParams {
  return tagOf(value) === 'URLSearchParams'
}

/** Whether a value is one of the web's streams. */
export function isWebStream(value: unknown): value is ReadableStream<Uint8Array> {
  return isObject(value) && typeof (value as ReadableStream).getReader === 'function'
}

/** Whether a value can be awaited: some programs put another class in the place of `Promise`. */
export function isThenable<Value = unknown>(value: unknown): value is PromiseLike<Value> {
  return typeof (value as PromiseLike<Value> | null)?.then === 'function'
}

/** One signal that aborts with the first of several. */
export function anySignal(first: AbortSignal, second: AbortSignal): AbortSignal {
  if (typeof AbortSignal.any === 'function') return AbortSignal.any([first, second])
  const controller = new AbortController()
  for (const signal of [first, second]) {
    if (signal.aborted) controller.abort(signal.reason)
    else signal.addEventListener('abort', () => controller.abort(signal.reason), { once: true })
  }
  return controller.signal
}
