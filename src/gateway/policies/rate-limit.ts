import { systemClock } from '../../clock.js'
import type { Problem } from '../problem.js'
import { spend, Tallies, type Tally, type TallyLimits } from './counters.js'
import { counted, type Policy, type Visit } from './policy.js'
import { ExpectedAnswer, estimateTokens } from './token-estimate.js'

/**
 * So much may each caller ask in a window, or each day or month, or at once.
 *
 * Tokens are known when the answer says how many it took. Till then so many are reserved as the request may take: what it
 * sends, and the most that it lets the answer be, or what answers have been of late. A request goes if its reservation fits
 * into what is left; one alone goes as long as there is anything left, so that what is left at the end can be used. What
 * can't be known in the end, as no usage was told or the caller went before that, counts as what was reserved.
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
  const expected = new ExpectedAnswer()
  const countsTokens = limits.tokens !== undefined

  function check(visit: Visit): Problem | undefined {
    const now = clock.now()
    const who = counted(limits.by, visit)
    const tally = tallies.of(who, now)
    const { meters, reserved } = tally
    const estimate = countsTokens ? estimateTokens(visit.body ?? { kind: 'none' }, visit.length) : NO_TOKENS
    const reservation = estimate.prompt + (estimate.answer ?? expected.tokens)
    let opensAt = now
    for (const meter of meters) {
      const isOfTokens = meter.unit === 'tokens'
      opensAt = Math.max(opensAt, meter.availableAt(1, now, now + 1))
      if (!isOfTokens || reserved.requests === 0) continue
      // Those on their way give back what they don't take: soon, but nobody knows when.
      if (meter.remaining(now) / tallies.processes - reserved.tokens < reservation)
        opensAt = Math.max(opensAt, now + SOON)
    }
    if (opensAt > now) {
      tell(visit, name, tally, now)
      return refusal(kind, Number.isFinite(opensAt) ? opensAt - now : 1_000)
    }
    for (const meter of meters) {
      if (meter.unit === 'tokens') continue
      meter.take(1, now)
      meter.confirm(1, now)
      if (meter.unit === 'requests') tallies.told(who, 'requests', 1)
    }
    // What takes no tokens holds up nothing.
    const holds = reservation > 0
    if (holds) {
      reserved.tokens += reservation
      reserved.requests++
    }
    tell(visit, name, tally, now)
    visit.ended.push(spent => {
      const at = clock.now()
      if (holds) {
        reserved.tokens -= reservation
        reserved.requests--
      }
      for (const meter of meters) {
        if (meter.unit !== 'tokens') {
          meter.end(1, 0)
          continue
        }
        const tokens = spent.kind === 'known' ? spent.tokens : Math.max(reservation, spent.atLeast)
        spend(meter, tokens, at)
        tallies.told(who, 'tokens', tokens)
      }
      if (spent.kind === 'known' && spent.tokens > 0 && estimate.answer === undefined) {
        expected.learn(Math.max(0, spent.tokens - estimate.prompt))
      }
    })
    return undefined
  }
  return { ...{ name, routes, tallies, check }, needsTokens: countsTokens, needsBody: countsTokens }
}

const NO_TOKENS = { prompt: 0, answer: 0 }
/** When to come back where others have reserved what is left, in milliseconds. */
const SOON = 1_000

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

function tell(visit: Visit, name: string, { meters, reserved }: Tally, now: number): void {
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
    append(
      visit,
      'ratelimit',
      `"${id}";r=${Math.max(0, Math.floor(meter.remaining(now) - (meter.unit === 'tokens' ? reserved.tokens : 0)))}${wait}`,
    )
  }
}

/** The longest that a period of the calendar may be. */
const SECONDS = { hour: 3_600, day: 86_400, week: 604_800, month: 2_678_400 } as const

function append({ fields }: Visit, name: string, value: string): void {
  const before = fields.get(name)
  fields.set(name, before ? `${before}, ${value}` : value)
}
