import { NO_BODY, outrightError, readBody } from './body-facts.js'
import { echoRemover } from './echo.js'
import { isOfLongWindow, readGenerally } from './general.js'
import { matches } from './match.js'
import type { Outcome } from './outcome.js'
import type { Meaning, Provider, Reply, Scope } from './provider.js'
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
  if (status < 400) {
    // The first event of a stream may be an error; nearly all else that succeeds is not looked into.
    return /event-stream/i.test(type ?? '') || (isReadAnyway(status, provider) && /json/i.test(type ?? ''))
  }
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
 * @param request - what was sent, as text: what the service gives back of it is not the service's word
 */
export function classify(
  response: Response,
  text: string,
  provider: Provider | undefined,
  now: number,
  request: () => readonly string[] = nothing,
): Outcome {
  const { headers } = response
  const status = response.status < 400 ? (statusOfOutrightError(text) ?? response.status) : response.status
  // A success of a service that tells no errors by them: nearly all answers.
  if (status < 400 && !provider?.signals) return { kind: 'answer', response }
  const serverNow = serverTime(headers, now)
  const body = text === '' ? NO_BODY : readBody(text, serverNow, echoRemover(request))
  const reply: Reply = { status, headers, body }
  const signal = provider?.signals?.find(each => matches(each, reply, response.status))
  const meaning = refined(signal?.means ?? readGenerally(reply, provider?.signals !== undefined), reply)
  switch (meaning) {
    case 'rate-limit':
    case 'quota': {
      const scope = signal?.scope ?? provider?.limitScope ?? 'key'
      const wait = readTiming(reply, signal, meaning, serverNow)
      // Nobody's key is to blame when the service limits everyone.
      if (scope === 'provider') return { kind: 'trouble', cause: 'overload', wait, response }
      const ofTokens = /\btokens?\b/i.test(body.text)
      return { kind: 'refused', cause: meaning, scope: scopeOf(reply, scope), wait, ofTokens, response }
    }
    case 'invalid-key':
      return { kind: 'invalid-key', response }
    case 'overload': {
      const wait = readTiming(reply, signal, meaning, serverNow)
      if (signal?.scope === 'resource') {
        return { kind: 'refused', cause: 'overload', scope: 'resource', wait, ofTokens: false, response }
      }
      return { kind: 'trouble', cause: 'overload', wait, response }
    }
    case 'answer':
      return isTrouble(status) && !signal
        ? { kind: 'trouble', cause: undefined, wait: readTiming(reply, signal, meaning, serverNow), response }
        : { kind: 'answer', response }
  }
}

function nothing(): readonly string[] {
  return []
}

/**
 * A code says that it was a limit, and words may say of which window: a day's is a quota, unless the service says to come
 * back sooner.
 */
function refined(meaning: Meaning, reply: Reply): Meaning {
  return meaning === 'rate-limit' && isOfLongWindow(reply) ? 'quota' : meaning
}

/** Words for what went wrong, as codes and types, with the status that they stand for. */
const STATUS_OF_ERROR: readonly [RegExp, number][] = [
  [/overload|capacity|unavailable/i, 529],
  [/rate.?limit|too.?many|throttl|quota|resource.?exhausted|insufficient|billing|credit/i, 429],
  [/authentication|invalid.?api.?key|unauthorized/i, 401],
  [/permission|forbidden/i, 403],
  [/api.?error|server.?error|internal|upstream|timeout/i, 500],
]

/**
 * The status that an error stands for which a body begins with, although the response said 200: in the first event of a
 * stream, or as the whole of it. `undefined` where there is none, or where it is the request's own.
 */
function statusOfOutrightError(text: string): number | undefined {
  const error = text === '' ? undefined : outrightError(text)
  if (!error) return undefined
  for (const value of [error.status, error.code, error.http_status]) {
    const number = Number(value)
    if (Number.isInteger(number) && number >= 400 && number < 600) return number
  }
  const names = [error.type, error.code, error.status].filter(each => typeof each === 'string').join(' ')
  return STATUS_OF_ERROR.find(([pattern]) => pattern.test(names))?.[1]
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
