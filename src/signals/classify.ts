import { NO_BODY, readBody } from './body-facts.js'
import { readGenerally } from './general.js'
import { matches } from './match.js'
import type { Outcome } from './outcome.js'
import type { Provider, Reply, Scope } from './provider.js'
import { readTiming } from './timing.js'
import { serverTime } from './wait-hint.js'

/** Statuses besides 429 whose bodies may tell of keys and limits. */
const TELLING: ReadonlySet<number> = new Set([400, 401, 402, 403, 418, 420, 422, 429, 503, 529])
/** 5xx that no second try mends. */
const FINAL_SERVER_ERRORS: ReadonlySet<number> = new Set([501, 505, 506, 508, 510, 511])
const TEXTUAL = /json|text|xml/i

/** Whether the beginning of the body is needed to tell what a response means. */
export function needsBody({ status, headers }: Response, provider: Provider | undefined): boolean {
  const type = headers.get('content-type')
  if (status < 400) return isReadAnyway(status, provider) && /json|event-stream/i.test(type ?? '')
  if (type !== null && !TEXTUAL.test(type)) return false
  return TELLING.has(status) || status === 430 || status > 431
}

/** Whether a provider's errors may come with this status, though it is none of an error. */
function isReadAnyway(status: number, provider: Provider | undefined): boolean {
  return (
    provider?.signals?.some(signal => ([] as (number | undefined)[]).concat(signal.status).includes(status)) ?? false
  )
}

/**
 * What a response means for the key that it was sent with: by the provider's own signals, and where none of them
 * fits by what services have in common.
 *
 * @param text - the body's beginning, where `needsBody` asked for it
 */
export function classify(response: Response, text: string, provider: Provider | undefined, now: number): Outcome {
  const { status, headers } = response
  // A success of a service that tells no errors by them: nearly all answers.
  if (status < 400 && !provider?.signals) return { kind: 'answer', response }
  const serverNow = serverTime(headers, now)
  const reply: Reply = { status, headers, body: text === '' ? NO_BODY : readBody(text, serverNow) }
  const signal = provider?.signals?.find(each => matches(each, reply))
  const meaning = signal?.means ?? readGenerally(reply)
  switch (meaning) {
    case 'rate-limit':
    case 'quota': {
      const scope = signal?.scope ?? provider?.limitScope ?? 'key'
      const wait = readTiming(reply, signal, meaning, serverNow)
      // Nobody's key is to blame when the service limits everyone.
      if (scope === 'provider') return { kind: 'trouble', cause: 'overload', wait, response }
      return { kind: 'refused', cause: meaning, scope: scopeOf(reply, scope), wait, response }
    }
    case 'invalid-key':
      return { kind: 'invalid-key', response }
    case 'overload':
      return { kind: 'trouble', cause: 'overload', wait: readTiming(reply, signal, meaning, serverNow), response }
    case 'answer':
      return isTrouble(status) && !signal
        ? { kind: 'trouble', cause: undefined, wait: readTiming(reply, signal, meaning, serverNow), response }
        : { kind: 'answer', response }
  }
}

/** A ban of the address looks the same from everywhere: a page for people, where data was asked for. */
function scopeOf({ status, headers }: Reply, scope: Scope): Scope {
  if (status === 418) return 'address'
  return headers.has('ratelimit-policy') && /;\s*pk=/.test(headers.get('ratelimit') ?? '') && scope === 'key'
    ? 'model'
    : scope
}

/** The server speaks of itself, not of the request. */
function isTrouble(status: number): boolean {
  return status === 408 || status === 425 || (status >= 500 && !FINAL_SERVER_ERRORS.has(status))
}
