import { LONGEST_WAIT, parseRfc3339, parseTimespan } from './when.js'

const WORDS: readonly [RegExp, number][] = [
  [/^(?:ms|msecs?|millis|milliseconds?)$/i, 1],
  [/^(?:s|secs?|seconds?)$/i, 1_000],
  [/^(?:m|mins?|minutes?)$/i, 60_000],
  [/^(?:h|hrs?|hours?)$/i, 3_600_000],
  [/^(?:d|days?)$/i, 86_400_000],
]
const SPAN =
  '((?:\\d{1,9}(?:\\.\\d{1,12})?\\s?(?:milliseconds?|millis|msecs?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?![a-z])(?:,? and |, |\\s)?|\\d{1,9}(?:\\.\\d{1,12})?[hms](?=\\d))+)'
/** "try again in 9m38s", "retry after 20 seconds", "wait for 2 minutes", "resets in 1 hour" */
const IN = new RegExp(
  `\\b(?:(?:re)?try(?:ing)?|again|wait|available|resets?|replenished|restored|come back|expires?|unblocked|lifted|request this|(?:timed out|limited|blocked|banned)(?= for))\\b[^.\\d]{0,40}?\\b(?:in|after|for|least|wait)\\s+(?:at least |about |approximately )?${SPAN}`,
  'i',
)
const WAIT = new RegExp(`\\b(?:wait|backoff|cooldown)\\s(?:at least |about )?${SPAN}`, 'i')
const CLOCK = /\b(?:in|after)\s+(\d{1,4}:\d{2}:\d{2}(?:\.\d+)?)/i
/** "IP banned until 1659146400000", "regain access on 2026-10-01 at 00:00 UTC" */
const EPOCH = /\b(?:until|at|after)\s+(\d{10}|\d{13})\b/i
const DATE =
  /\b(?:until|at|on|after|by)\s+(\d{4}-\d{2}-\d{2})(?:[T ]|,? at |,? )?(\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?\s*(Z|UTC|GMT|[+-]\d{2}:\d{2})?/i

/**
 * How long a message for people asks to wait, in milliseconds; `undefined` where it doesn't say.
 *
 * The last resort: wording changes, and this is only asked where nothing else says when to come back.
 */
export function readTextHint(text: string, serverNow: number): number | undefined {
  const span = (IN.exec(text) ?? WAIT.exec(text))?.[1]
  if (span !== undefined) return bounded(sumOf(span))
  const clock = CLOCK.exec(text)?.[1]
  if (clock !== undefined) return bounded(parseTimespan(clock))
  const epoch = EPOCH.exec(text)?.[1]
  if (epoch !== undefined) return bounded(Number(epoch) * (epoch.length === 10 ? 1000 : 1) - serverNow)
  const date = DATE.exec(text)
  if (!date) return undefined
  const zone = date[3] === undefined || /UTC|GMT/i.test(date[3]) ? 'Z' : date[3]
  const moment = parseRfc3339(`${date[1]}T${date[2] ?? '00:00'}${zone}`)
  return moment === undefined ? undefined : bounded(moment - serverNow)
}

function sumOf(span: string): number {
  let total = 0
  for (const [, number, unit] of span.matchAll(/(?<![\d.])(\d{1,15}(?:\.\d{1,15})?)\s?([a-z]+)/gi)) {
    total += Number(number) * (WORDS.find(([word]) => word.test(unit!))?.[1] ?? 0)
  }
  return total
}

function bounded(wait: number | undefined): number | undefined {
  return wait !== undefined && wait > 0 ? Math.min(LONGEST_WAIT, Math.ceil(Number(wait.toFixed(6)))) : undefined
}
