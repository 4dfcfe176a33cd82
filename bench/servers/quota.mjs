/**
 * Enforces quotas as services do, in a process of its own: token buckets, windows that slide or are fixed, bounds on
 * concurrency, dead keys, keys whose quota is used up, times of overload. Its settings come as its argument, in JSON; it
 * says its address, and its own counts when it gets the message 'stats'.
 */
import { createServer } from 'node:http'

const { keys, latency = 5, overload } = JSON.parse(process.argv[2])
const startedAt = performance.now()
const accounts = new Map(Object.entries(keys).map(([key, quota]) => [key, account(quota)]))
const servedAt = []
const counts = { served: 0, refused: 0, rejected: 0, overloaded: 0 }

function account(quota) {
  const state = { quota, log: [], level: quota.burst ?? 0, levelAt: performance.now(), inFlight: 0, served: 0 }
  return {
    ...state,
    admit(now) {
      const { requests, per = 1_000, burst, fixed, concurrency } = quota
      if (concurrency !== undefined && this.inFlight >= concurrency) return 20
      if (requests === undefined) return 0
      if (burst !== undefined) {
        this.level = Math.min(burst, this.level + ((now - this.levelAt) * requests) / per)
        this.levelAt = now
        if (this.level < 1) return Math.ceil(((1 - this.level) * per) / requests)
        this.level -= 1
        return 0
      }
      const from = fixed ? now - ((performance.timeOrigin + now) % per) : now - per
      while (this.log.length > 0 && this.log[0] <= from) this.log.shift()
      if (this.log.length >= requests) return Math.ceil(fixed ? from + per - now : this.log[0] + per - now)
      this.log.push(now)
      return 0
    },
  }
}

const server = createServer(async (request, response) => {
  const send = (status, headers = {}) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(status === 200 ? '{"ok":true}' : '{"error":{"message":"no"}}')
  }
  const now = performance.now()
  const of = accounts.get(/^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1])
  request.resume()
  if (!of || of.quota.dead) {
    counts.rejected++
    return send(401)
  }
  if (overload && now - startedAt > overload.from && now - startedAt < overload.from + overload.for) {
    counts.overloaded++
    return send(503, { 'retry-after': '1' })
  }
  if (of.quota.quota !== undefined && of.served >= of.quota.quota) {
    counts.refused++
    return send(429, { 'retry-after': '3600' })
  }
  const wait = of.admit(now)
  if (wait > 0) {
    counts.refused++
    return send(429, { 'retry-after-ms': String(wait), 'retry-after': String(Math.ceil(wait / 1000)) })
  }
  of.served++
  of.inFlight++
  counts.served++
  servedAt.push(now - startedAt)
  await new Promise(resolve => setTimeout(resolve, latency))
  of.inFlight--
  return send(200)
})
server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', 4_096, () => process.send({ url: `http://127.0.0.1:${server.address().port}` }))
process.on('message', () => process.send({ counts, servedAt }))
process.on('disconnect', () => process.exit(0))
