import { systemClock } from '../../clock.js'
import type { SharedMeter } from '../../limiter/meter.js'
import type { Problem } from '../problem.js'
import { spend, Tallies, type TallyLimits } from './counters.js'
import { counted, type Policy, type Visit } from './policy.js'

/**
 * So much may each caller ask in a window, or each day or month, or at once. Tokens are counted when the answer says how
 * many it took: who has used more than there was waits till it is made up for.
 *
 * Tells what is left in the IETF's fields (draft-ietf-httpapi-ratelimit-headers-10), and when to come back.
 */
export function rateLimit(
  name: string,
  routes: readonly string[] | undefined,
  limits: TallyLimits & { readonly by: 'caller' | 'address' | 'route' | 'all' },
  kind: 'rate-limit' | 'budget',
): Policy & { readonly tallies: Tallies } {
  const clock = systemClock()
  const tallies = new Tallies(limits, clock)

  function check(visit: Visit): Problem | undefined {
    const now = clock.now()
    const { meters } = tallies.of(counted(limits.by, visit), now)
    const weights = meters.map(({ unit }) => (unit === 'tokens' ? 0 : 1))
    let opensAt = now
    meters.forEach((meter, index) => {
      // A request's tokens are not known before: one may go as long as there is any left.
      const at = meter.availableAt(meter.unit === 'tokens' ? 1 : weights[index]!, now, now + 1)
      opensAt = Math.max(opensAt, at)
    })
    if (opensAt > now) {
      tell(visit, name, meters, now)
      return refusal(kind, Number.isFinite(opensAt) ? opensAt - now : 1_000)
    }
    meters.forEach((meter, index) => {
      meter.take(weights[index]!, now)
      meter.confirm(weights[index]!, now)
    })
    tell(visit, name, meters, now)
    visit.ended.push(tokens => {
      const at = clock.now()
      meters.forEach((meter, index) => {
        meter.end(weights[index]!, 0)
        if (meter.unit !== 'tokens' || !tokens) return
        spend(meter, tokens, at)
      })
    })
    return undefined
  }
  return { ...{ name, routes, tallies, check }, needsTokens: limits.tokens !== undefined }
}

function refusal(kind: 'rate-limit' | 'budget', wait: number): Problem {
  const seconds = Math.max(1, Math.ceil(wait / 1000))
  const title = kind === 'budget' ? 'The budget is used up' : 'Too many requests'
  return {
    status: 429,
    type: kind,
    title,
    detail: `try again in ${seconds} s`,
    headers: { 'retry-after': `${seconds}` },
  }
}

function tell(visit: Visit, name: string, meters: readonly SharedMeter[], now: number): void {
  const label = name.replace(/[^\x20-\x7e]|["\\]/g, '_')
  for (const meter of meters) {
    if (meter.unit === 'concurrency') continue
    const id = meters.length > 1 ? `${label}-${meter.unit}` : label
    const window = typeof meter.per === 'number' ? Math.ceil(meter.per / 1000) : SECONDS[meter.per ?? 'day']
    append(
      visit,
      'ratelimit-policy',
      `"${id}";q=${meter.limit};w=${window}${meter.unit === 'tokens' ? ';qu="tokens"' : ''}`,
    )
    const opensAt = meter.backAt(now)
    const wait = opensAt === undefined ? '' : `;t=${Math.max(0, Math.ceil((opensAt - now) / 1000))}`
    append(visit, 'ratelimit', `"${id}";r=${Math.max(0, Math.floor(meter.remaining(now)))}${wait}`)
  }
}

/** The longest that a period of the calendar may be. */
const SECONDS = { hour: 3_600, day: 86_400, week: 604_800, month: 2_678_400 } as const

function append({ fields }: Visit, name: string, value: string): void {
  const before = fields.get(name)
  fields.set(name, before ? `${before}, ${value}` : value)
}
