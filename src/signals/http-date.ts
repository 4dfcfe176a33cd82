const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']

const TIME = '(\\d{2}):(\\d{2}):(\\d{2})'
const IMF_FIXDATE = new RegExp(`^[a-z]{3}, (\\d{2}) ([a-z]{3}) (\\d{4}) ${TIME} GMT$`, 'i')
const RFC_850 = new RegExp(`^[a-z]{6,9}, (\\d{2})-([a-z]{3})-(\\d{2}) ${TIME} GMT$`, 'i')
const ASCTIME = new RegExp(`^[a-z]{3} ([a-z]{3}) ([ \\d]\\d) ${TIME} (\\d{4})$`, 'i')

/**
 * Milliseconds since the epoch of an HTTP-date in any of its three forms (RFC 9110 section 5.6.7); `undefined` for
 * anything else. `Date.parse` is no help: it takes what the grammar forbids, and reads the third form as local time.
 *
 * @param now - for two-digit years: one that seems to lie more than 50 years ahead is in the past
 */
export function parseHttpDate(value: string, now: number): number | undefined {
  const text = value.trim()
  let match = IMF_FIXDATE.exec(text)
  if (match) return at(match[3]!, match[2]!, match[1]!, match[4]!, match[5]!, match[6]!)
  match = ASCTIME.exec(text)
  if (match) return at(match[6]!, match[1]!, match[2]!.trim(), match[3]!, match[4]!, match[5]!)
  match = RFC_850.exec(text)
  if (!match) return undefined
  const thisYear = new Date(now).getUTCFullYear()
  let year = Math.floor(thisYear / 100) * 100 + Number(match[3])
  if (year > thisYear + 50) year -= 100
  return at(String(year), match[2]!, match[1]!, match[4]!, match[5]!, match[6]!)
}

function at(
  year: string,
  month: string,
  day: string,
  hour: string,
  minute: string,
  second: string,
): number | undefined {
  const monthIndex = MONTHS.indexOf(month.toLowerCase())
  if (monthIndex < 0 || Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined
  const time = Date.UTC(Number(year), monthIndex, Number(day), Number(hour), Number(minute), Number(second))
  return new Date(time).getUTCDate() === Number(day) || Number(second) === 60 ? time : undefined
}
