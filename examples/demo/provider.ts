/**
 * A provider on loopback that enforces quotas as real ones do: sliding windows, token buckets, fixed windows, bounds on
 * concurrency, a quota that runs out, keys that are dead. It is a process of its own: `fork` it with its settings as
 * the argument, in JSON; it sends back its address, and its own count of everything when it gets the message 'stats'.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

export interface ProviderKey {
  /** Never more than `requests` in any stretch of `per` milliseconds; with `burst`, a bucket that refills at that rate. */
  requests?: number
  per?: number
  burst?: number
  /** Windows that begin every `per` milliseconds, instead of sliding. */
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
  /** Whether a refusal says when to come back. */
  retryAfter?: boolean
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

  /** How many milliseconds to wait; 0: none, it is counted and served. */
  admit(now: number): number {
    const { requests, per = 1000, burst, fixed, concurrency } = this.limits
    if (concurrency !== undefined && this.#inFlight >= concurrency) return 100
    if (requests !== undefined && burst !== undefined) {
      this.#level = Math.min(burst, this.#level + ((now - this.#levelAt) * requests) / per)
      this.#levelAt = now
      if (this.#level < 1) return ((1 - this.#level) * per) / requests
      this.#level -= 1
    } else if (requests !== undefined) {
      const from = fixed ? Math.floor(now / per) * per : now - per
      while (this.#log.length > 0 && this.#log[0]! <= from) this.#log.shift()
      if (this.#log.length >= requests) return fixed ? from + per - now : this.#log[0]! + per - now
      this.#log.push(now)
    }
    return 0
  }

  enter(): void {
    this.stats.peak = Math.max(this.stats.peak, ++this.#inFlight)
  }

  leave(): void {
    this.#inFlight--
  }
}

function serve({ keys, latency = 5, retryAfter = true }: ProviderSettings): void {
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
    const wait = account.admit(now)
    if (wait > 0) {
      stats.refused++
      const hint = { 'retry-after': String(Math.ceil(wait / 1000)), 'retry-after-ms': String(Math.ceil(wait)) }
      return send(429, { error: { code: 'rate_limited', message: 'Slow down.' } }, retryAfter ? hint : {})
    }
    firstAt ??= now
    stats.served++
    stats.servedAt.push(Math.round(now - firstAt))
    account.enter()
    request.resume()
    await sleep(typeof latency === 'number' ? latency : latency[0] + Math.random() * (latency[1] - latency[0]))
    account.leave()
    const cacheable: Record<string, string> = request.url?.includes('popular') ? { 'cache-control': 'max-age=60' } : {}
    send(200, { path: request.url }, cacheable)
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
