/** The first moment of the next calendar day or month in `timeZone`, in milliseconds since the epoch. */
export function endOfCalendarWindow(now: number, per: 'day' | 'month', timeZone: string): number {
  const { year, month, day } = localDate(now, timeZone)
  const next = per === 'day' ? [year, month, day + 1] : [year, month + 1, 1]
  const wall = Date.UTC(next[0]!, next[1]! - 1, next[2]!)
  // Local midnight as UTC, less the zone's offset; twice, as the offset may change between the guess and the answer.
  let at = wall - zoneOffset(wall, timeZone)
  at = wall - zoneOffset(at, timeZone)
  // Where summer time skips midnight itself, the day begins an hour later: never answer with a moment that is past.
  return at > now ? at : at + 3_600_000
}

function localDate(at: number, timeZone: string) {
  const parts: Record<string, number> = {}
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  for (const { type, value } of format.formatToParts(at)) parts[type] = Number(value)
  return parts as { year: number; month: number; day: number; hour: number; minute: number; second: number }
}

function zoneOffset(at: number, timeZone: string): number {
  const { year, month, day, hour, minute, second } = localDate(at, timeZone)
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(at / 1000) * 1000
}
