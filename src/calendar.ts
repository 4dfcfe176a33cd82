/** A period of the calendar; a week begins on Monday (ISO 8601). */
export type CalendarPeriod = 'hour' | 'day' | 'week' | 'month'
export const CALENDAR_PERIODS = ['hour', 'day', 'week', 'month'] as const

const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000

/** How long a period usually is, in milliseconds. */
export const USUAL_LENGTH_MS: Readonly<Record<CalendarPeriod, number>> = {
  hour: HOUR_MS,
  day: DAY_MS,
  week: 7 * DAY_MS,
  month: 30 * DAY_MS,
}

/** The first moment of the next calendar hour, day, week or month in `timeZone`, in milliseconds since the epoch. */
export function endOfCalendarWindow(wallNow: number, per: CalendarPeriod, timeZone: string): number {
  if (per === 'hour') {
    const local = wallNow + offsetOf(wallNow, timeZone)
    return wallNow + HOUR_MS - (((local % HOUR_MS) + HOUR_MS) % HOUR_MS)
  }
  const today = new Date(localDay(wallNow, timeZone))
  const [year, month, day] = [today.getUTCFullYear(), today.getUTCMonth(), today.getUTCDate()]
  const days = per === 'week' ? 7 - ((today.getUTCDay() + 6) % 7) : 1
  const next = per === 'month' ? Date.UTC(year, month + 1, 1) : Date.UTC(year, month, day + days)
  const hasBegun = (at: number) => localDay(at, timeZone) >= next
  // Local midnight as UTC, less the zone's offset; twice, as the offset may change between the guess and the answer.
  const guess = next - offsetOf(next - offsetOf(next, timeZone), timeZone)
  if (hasBegun(guess) && !hasBegun(guess - 1)) return guess
  // Where summer time skips midnight, or a zone skips a day, the next one begins at the change of the clocks.
  let [before, after] = [wallNow, next + 2 * DAY_MS]
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2)
    if (hasBegun(middle)) after = middle
    else before = middle
  }
  return after
}

/** The local date at a moment, as the milliseconds since the epoch of its midnight in UTC. */
function localDay(at: number, timeZone: string): number {
  return Math.floor((at + offsetOf(at, timeZone)) / DAY_MS) * DAY_MS
}

/** How far the zone's clocks are ahead of UTC at a moment, in milliseconds. */
function offsetOf(at: number, timeZone: string): number {
  const parts: Record<string, number> = {}
  for (const { type, value } of formatFor(timeZone).formatToParts(at)) parts[type] = Number(value)
  const { year, month, day, hour, minute, second } = parts as Record<Intl.DateTimeFormatPartTypes, number>
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(at / 1000) * 1000
}

/** Making one takes longer than all the rest. */
const formats = new Map<string, Intl.DateTimeFormat>()

function formatFor(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone)
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    formats.set(timeZone, format)
  }
  return format
}
