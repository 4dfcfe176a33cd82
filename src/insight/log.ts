import type { KeyPoolEvents } from '../events.js'
import type { Logger } from '../options.js'

type Name = keyof KeyPoolEvents
type Payload<Each extends Name> = Parameters<KeyPoolEvents[Each]>[0]
type Level = 'debug' | 'info' | 'warn' | 'error'

/** How each event is told: at which level, in which words. */
const LINES: { readonly [Each in Name]: readonly [Level, (event: Payload<Each>) => string] } = {
  'key-exhausted': [
    'warn',
    ({ keyId, cause, until, part }) => `${keyId} is exhausted (${cause})${forPart(part)}, back ${when(until)}`,
  ],
  'key-near-exhaustion': [
    'warn',
    event => `${event.keyId}: ${event.remaining} of ${event.limit} ${event.unit} left${dry(event.dryAt)}`,
  ],
  'key-recovered': [
    'info',
    ({ keyId, cause, downFor, part }) => `${keyId} is back${forPart(part)} after ${seconds(downFor)} (${cause})`,
  ],
  'key-disabled': [
    'error',
    ({ keyId, cause, status }) =>
      `${keyId} is disabled (${cause}${status === null ? '' : `, status ${status}`}): someone must act`,
  ],
  'key-rotated': [
    'debug',
    ({ keyId, previousKeyId, cause }) => `${previousKeyId} was refused (${cause}): on with ${keyId}`,
  ],
  'pool-exhausted': [
    'error',
    ({ retryAt, shared }) =>
      `No key is usable${shared ? `, refused for the ${shared.scope}` : ''}; the first is back ${when(retryAt)}`,
  ],
  'request-retried': [
    'info',
    ({ method, url, retry, delay, status, error }) =>
      `${method} ${url}: ${status ?? error}, retry ${retry} in ${seconds(delay)}`,
  ],
  'request-finished': [
    'debug',
    ({ method, url, status, error, duration }) => `${method} ${url}: ${status ?? error} in ${seconds(duration)}`,
  ],
  'tokens-settled': ['debug', ({ keyId, tokens }) => `${tokens} tokens were taken of ${keyId}`],
  'cache-hit': ['debug', ({ method, url, how }) => `${method} ${url}: from the cache (${how})`],
  'cache-missed': ['debug', ({ method, url, why }) => `${method} ${url}: not from the cache (${why})`],
  'sharing-degraded': [
    'warn',
    ({ error, processes }) => `Sharing is interrupted (${error}): going on with 1 / ${processes} of each limit`,
  ],
  'sharing-restored': ['info', ({ downFor }) => `Sharing works again after ${seconds(downFor)}`],
}

/** Tells a logger of events. `undefined` for those whose level it says it doesn't write. */
export function logLine<Each extends Name>(logger: Logger, name: Each): ((event: Payload<Each>) => void) | undefined {
  const [level, words] = LINES[name]
  // pino and its like: making what nobody writes would cost every request.
  if (logger.isLevelEnabled && !logger.isLevelEnabled(level)) return undefined
  return event => logger[level]({ event: name, ...event }, words(event))
}

function forPart(part: string | null): string {
  return part === null ? '' : ` for ${part}`
}

function when(date: Date | null): string {
  return date ? `at ${date.toISOString()}` : 'some time'
}

function dry(date: Date | null): string {
  return date ? `, dry at ${date.toISOString()} at this rate` : ''
}

function seconds(milliseconds: number): string {
  return milliseconds < 1_000 ? `${Math.round(milliseconds)} ms` : `${Number((milliseconds / 1000).toFixed(1))} s`
}
