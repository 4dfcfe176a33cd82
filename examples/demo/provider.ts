/**
 * A provider on loopback that enforces quotas as real ones do: sliding windows, token buckets, fixed windows, bounds on
 * concurrency, a quota that runs out, keys that are dead. It is a process of its own: `fork` it with its settings as
 * the argument, in JSON; it sends back its address, and its own count of everything when it gets the message 'stats'.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Dialect, fieldsOf, type QuotaState, refusalOf } from './dialects.js'

export interface ProviderKey {
  /** Never more than `requests` in any stretch of `per` milliseconds; with `burst`, a bucket that refills at that rate. */
  requests?: number
  per?: number
  burst?: number
  /** Windows that begin at each whole `per` milliseconds of the clock, instead of sliding. */
  fixed?: boolean
  concurrency?: number
  /** All that the key may ever ask. */
  quota?: number
  dead?: boolean
}

export interface ProviderSettings {
  keys: Record<string, ProviderKey>
  /** How long an answer takes, in milliseconds: a number, or from one to another at random. */
  latency?: number | [from: number, to: number]
  /** How it tells of limits. */
  dialect?: Dialect
}

export interface ProviderKeyStats {
  served: number
  refused: number
  outOfQuota: number
  rejected: number
  /** The most requests at once. */
  peak: number
  /** When each request was served, in milliseconds since the first of all. */
  servedAt: number[]
}

class Account {
  readonly stats: ProviderKeyStats = { served: 0, refused: 0, outOfQuota: 0, rejected: 0, peak: 0, servedAt: [] }
  #log: number[] = []
  #level: number
  #levelAt = performance.now()
  #inFlight = 0

  constructor(readonly limits: ProviderKey) {
    this.#level = limits.burst ?? 0
  }

  /** Counts a request if there is room for it; says so by a `next` of 0. */
  admit(now: number): QuotaState & { admitted: boolean } {
    const { requests, concurrency } = this.limits
    if (concurrency !== undefined && this.#inFlight >= concurrency) {
      return { admitted: false, limit: concurrency, per: 0, remaining: 0, next: 100, full: 100 }
    }
    if (requests === undefined) return { admitted: true, limit: 0, per: 0, remaining: 0, next: 0, full: 0 }
    return this.limits.burst === undefined ? this.#admitByWindow(now, requests) : this.#admitByBucket(now, requests)
  }

  #admitByBucket(now: number, requests: number) {
    const { per = 1000, burst = 1 } = this.limits
    this.#level = Math.min(burst, this.#level + ((now - this.#levelAt) * requests) / per)
    this.#levelAt = now
    const admitted = this.#level >= 1
    if (admitted) this.#level -= 1
    const until = (level: number) => (Math.max(0, level - this.#level) * per) / requests
    return { admitted, limit: burst, per, remaining: Math.floor(this.#level), next: until(1), full: until(burst) }
  }

  #admitByWindow(now: number, requests: number) {
    const { per = 1000, fixed } = this.limits
    const wall = performance.timeOrigin + now
    const from = fixed ? now - (wall % per) : now - per
    while (this.#log.length > 0 && this.#log[0]! <= from) this.#log.shift()
    const admitted = this.#log.length < requests
    if (admitted) this.#log.push(now)
    const backAt = (at: number | undefined) => (at === undefined ? 0 : fixed ? from + per - now : at + per - now)
    const remaining = requests - this.#log.length
    const next = remaining > 0 ? 0 : backAt(this.#log[0])
    return { admitted, limit: requests, per, remaining, next, full: backAt(this.#log.at(-1)) }
  }

  enter(): void {
    this.stats.peak = Math.max(this.stats.peak, ++this.#inFlight)
  }

  leave(): void {
    this.#inFlight--
  }
}

function serve({ keys, latency = 5, dialect = 'retry-after-ms' }: ProviderSettings): void {
  const accounts = new Map(Object.entries(keys).map(([key, limits]) => [key, new Account(limits)]))
  let firstAt: number | undefined

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const now = performance.now()
    const key = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
    const account = accounts.get(key)
    const send = (status: number, body: object, headers: Record<string, string> = {}) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify(body))
    }
    if (!account || account.limits.dead) {
      if (account) account.stats.rejected++
      return send(401, { error: { code: 'invalid_api_key', message: 'This key is not valid.' } })
    }
    const { stats, limits } = account
    if (limits.quota !== undefined && stats.served >= limits.quota) {
      stats.outOfQuota++
      return send(429, { error: { code: 'quota_exceeded', message: 'Quota used up.' } }, { 'retry-after': '3600' })
    }
    const state = account.admit(now)
    if (!state.admitted) {
      stats.refused++
      const { status, fields, body } = refusalOf(dialect, state)
      return send(status, body, fields)
    }
    firstAt ??= now
    stats.served++
    stats.servedAt.push(Math.round(now - firstAt))
    account.enter()
    request.resume()
    await sleep(typeof latency === 'number' ? latency : latency[0] + Math.random() * (latency[1] - latency[0]))
    account.leave()
    const cacheable: Record<string, string> = request.url?.includes('popular') ? { 'cache-control': 'max-age=60' } : {}
    send(200, { path: request.url }, { ...fieldsOf(dialect, state), ...cacheable })
  }

  const server = createServer((request, response) => void answer(request, response))
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1', 4096, () => {
    const address = server.address()
    if (typeof address === 'object' && address) process.send?.({ url: `http://127.0.0.1:${address.port}` })
  })
  process.on('message', message => {
    if (message === 'stats') {
      process.send?.({ stats: Object.fromEntries([...accounts].map(([key, { stats }]) => [key, stats])) })
    }
  })
  process.on('disconnect', () => process.exit(0))
}

if (process.argv[2]) serve(JSON.parse(process.argv[2]) as ProviderSettings)
