import { Lessons } from '../../src/learning/lessons.js'
import { createLimiter } from '../../src/limiter/create-limiter.js'
import { permitBooks } from '../../src/limiter/permit-book.js'
import { Transit } from '../../src/limiter/transit.js'
import { readLimits } from '../../src/signals/limit-fields.js'
import { readHeaderHint } from '../../src/signals/wait-hint.js'

/** A server of the simulation: says of a request that arrives at `now` (its own milliseconds) whether it passes. */
export interface SimulatedServer {
  admit(now: number): { readonly passes: boolean; readonly headers?: Record<string, string> }
}

export interface SimulationOptions {
  readonly server: SimulatedServer
  readonly requests: number
  /** From sending to the server's decision, and from there to the answer, in milliseconds. */
  readonly transit?: number
  readonly latency?: number | (() => number)
  /** How much the server's clock is ahead. */
  readonly skew?: number
  /** Gives up after so long. */
  readonly until?: number
}

const ONE = () => 1
const START = Date.UTC(2026, 8, 6, 12)

/** One key against one server, in a time of its own: how long it took, how many were refused, and when each passed. */
export function simulate(options: SimulationOptions) {
  const { server, requests, transit = 1, latency = 4, skew = 0, until = 600_000 } = options
  const time = { now: START }
  const lessons = new Lessons()
  const host = {
    now: () => time.now,
    wallNow: () => time.now,
    transit: new Transit(),
    depart: (departing: { departed(at: number): void }) => departing.departed(time.now),
    changed() {},
  }
  const limiter = createLimiter([], permitBooks(), host, lessons)
  const events: { at: number; run(): void }[] = []
  const passedAt: number[] = []
  let refused = 0
  let left = requests
  let restsUntil = 0
  let isProbing = false
  let isSingle = false

  const send = () => {
    const permit = limiter.tryAcquire(ONE, time.now)!
    const sentAt = time.now
    if (isSingle) isProbing = true
    left--
    permit.leaves()
    const arriveAt = time.now + transit
    const answer = server.admit(arriveAt + skew)
    const takes = typeof latency === 'number' ? latency : latency()
    const headers = new Headers(answer.headers)
    headers.set('date', new Date(Math.floor((arriveAt + skew) / 1000) * 1000).toUTCString())
    events.push({
      at: arriveAt + takes,
      run() {
        permit.answered()
        lessons.clock.observe(headers, sentAt, time.now)
        const readings = readLimits(headers, undefined)
        if (answer.passes) {
          passedAt.push(arriveAt - START)
          permit.passed(readings)
          if (isSingle) isSingle = isProbing = false
        } else {
          refused++
          left++
          const hint = readHeaderHint(headers, time.now)?.wait
          const told = hint && hint > 0 ? hint : undefined
          const wait = permit.refused(told, readings)
          const at = time.now + Math.max(5, wait)
          if (at > restsUntil) {
            restsUntil = at
            isSingle = told === undefined
            isProbing = false
          }
        }
        permit.end()
      },
    })
  }

  while (passedAt.length < requests && time.now < START + until) {
    events.sort((a, b) => a.at - b.at)
    while (events.length > 0 && events[0]!.at <= time.now) events.shift()!.run()
    while (
      left > 0 &&
      time.now >= restsUntil &&
      !(isSingle && isProbing) &&
      limiter.availableAt(ONE, time.now) <= time.now
    ) {
      send()
    }
    time.now++
  }
  return { took: time.now - START, refused, passedAt, passed: passedAt.length, limiter, now: time.now }
}

/** Never more than `limit` in any stretch of `per`. */
export function slidingServer(
  limit: number | ((now: number) => number),
  per: number,
  tell: (state: {
    limit: number
    left: number
    next: number
    full: number
    passes: boolean
    now: number
  }) => Record<string, string>,
): SimulatedServer {
  let counted: number[] = []
  return {
    admit(now) {
      const most = typeof limit === 'number' ? limit : limit(now - START)
      counted = counted.filter(at => at > now - per)
      const passes = counted.length < most
      if (passes) counted.push(now)
      const left = Math.max(0, most - counted.length)
      const next = left > 0 ? 0 : (counted[counted.length - most] ?? now) + per - now
      const full = counted.length > 0 ? counted.at(-1)! + per - now : 0
      return { passes, headers: tell({ limit: most, left, next, full, passes, now }) }
    },
  }
}

/** `limit` in each window of the server's clock. */
export function fixedServer(
  limit: number,
  per: number,
  tell: (state: {
    limit: number
    left: number
    resetAt: number
    passes: boolean
    now: number
  }) => Record<string, string>,
): SimulatedServer {
  let window = -1
  let count = 0
  return {
    admit(now) {
      const current = Math.floor(now / per)
      if (current !== window) {
        window = current
        count = 0
      }
      const passes = count < limit
      if (passes) count++
      return { passes, headers: tell({ limit, left: limit - count, resetAt: (current + 1) * per, passes, now }) }
    },
  }
}

/** A bucket of `burst` that refills at `rate` a second. */
export function bucketServer(
  rate: number,
  burst: number,
  tell: (state: { level: number; next: number; full: number; passes: boolean }) => Record<string, string>,
): SimulatedServer {
  let level = burst
  let at = START
  return {
    admit(now) {
      level = Math.min(burst, level + ((now - at) * rate) / 1000)
      at = now
      const passes = level >= 1
      if (passes) level -= 1
      const until = (wanted: number) => Math.max(0, ((wanted - level) * 1000) / rate)
      return { passes, headers: tell({ level: Math.floor(level), next: until(1), full: until(burst), passes }) }
    },
  }
}
