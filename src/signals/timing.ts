import { endOfCalendarWindow } from '../calendar.js'
import { parseDuration } from '../duration.js'
import type { Meaning, Reply, Signal, Wait } from './provider.js'
import { readTextHint } from './text-hint.js'
import { readHeaderHint } from './wait-hint.js'
import { LONGEST_WAIT, parseMilliseconds, parseWhen } from './when.js'

/** Text that holds for as long as it does: a wait that is named beside it is not true. */
const NEVER = /\blimit: 0\b/
/** Shorter than a second apart, and the header's is the body's rounded up. */
const ROUNDED = 1_000

/**
 * When a refusal will be over, in milliseconds from now; `undefined` where nobody says it.
 *
 * In this order: what header fields say outright, or a field of the body that says the same more precisely; the body's
 * fields; the reset of a limit of which nothing is left; the message's text; what the signal knows by itself. A signal
 * whose `hints` are false goes first: a daily quota lasts till midnight, whatever is told beside it.
 */
export function readTiming(
  reply: Reply,
  signal: Signal | undefined,
  meaning: Meaning,
  serverNow: number,
): number | undefined {
  const { headers, body } = reply
  if (signal?.hints === false) return fromSignal(signal.wait, reply, serverNow)
  if (meaning === 'quota' && NEVER.test(body.text)) return undefined
  const header = readHeaderHint(headers, serverNow)
  const inBody = body.waits.length > 0 ? Math.max(...body.waits) : undefined
  if (header?.from === 'retry-after' && header.wait > 0) {
    const isSame = inBody !== undefined && header.wait >= inBody && header.wait - inBody < ROUNDED
    return isSame ? inBody : header.wait
  }
  return (
    inBody ??
    (header?.from === 'reset' ? header.wait : undefined) ??
    readTextHint(body.text, serverNow) ??
    fromSignal(signal?.wait, reply, serverNow) ??
    header?.wait
  )
}

function fromSignal(wait: Wait | undefined, reply: Reply, serverNow: number): number | undefined {
  if (wait === undefined) return undefined
  if (typeof wait === 'function') return sensible(wait(reply))
  if (typeof wait !== 'object') return parseDuration(wait)
  if ('next' in wait) return endOfCalendarWindow(serverNow, wait.next, wait.timeZone ?? 'UTC') - serverNow
  const value = reply.headers.get(wait.header)
  if (value === null) return undefined
  return /milliseconds|-ms$/i.test(wait.header) ? parseMilliseconds(value) : parseWhen(value, serverNow)
}

/** A function of the user's may give anything. */
function sensible(wait: unknown): number | undefined {
  return typeof wait === 'number' && wait >= 0 ? Math.min(LONGEST_WAIT, Math.ceil(wait)) : undefined
}
