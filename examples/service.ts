/** A small service that shares one pool between all its requests: run it with `npx tsx examples/service.ts`. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { KeypoolError, wrapFetch } from 'fetch-keypool'
import { startProvider } from './demo/start-provider.js'

const quota = { requests: 5, per: 1000 }
const provider = await startProvider({ keys: { 'secret-a': quota, 'secret-b': quota } })

const fetch = wrapFetch(globalThis.fetch, {
  origins: provider.url,
  keys: () => ['secret-a', 'secret-b'], // asked again by fetch.pool.refresh()
  limits: quota,
  maxWait: '500ms', // someone is waiting in front of a browser
  timeout: '5s',
  cache: { ttl: '10s' },
})

const app = express()

app.get('/items/:id', async (request, response, next) => {
  // The visitor has gone: so does the request to the API, from wherever it is.
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  try {
    const answer = await fetch(`${provider.url}/items/${request.params.id}`, { signal: gone.signal })
    response.status(answer.status).json(await answer.json())
  } catch (error) {
    if (!KeypoolError.is(error, 'ERR_POOL_EXHAUSTED')) return next(error)
    if (error.retryAt) response.set('Retry-After', String(Math.ceil((error.retryAt.getTime() - Date.now()) / 1000)))
    response.status(503).json({ error: 'busy' })
  }
})
app.get('/health', (_, response) => void response.json({ keys: fetch.pool.keys(), stats: fetch.pool.stats() }))

const server = app.listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

const statuses = await Promise.all(
  Array.from({ length: 30 }, async (_, id) => (await globalThis.fetch(`${url}/items/${id}`)).status),
)
console.log(
  `served: ${statuses.filter(status => status === 200).length}, busy: ${statuses.filter(status => status === 503).length}`,
)

server.close()
server.closeAllConnections()
await fetch.close()
provider.stop()
