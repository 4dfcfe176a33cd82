/**
 * Sends or fetches a gigabyte through a wrapped fetch, in a process of its own, and says how much memory that took: run
 * by `test/e2e/memory.test.ts`.
 */

import { once } from 'node:events'
import { createServer } from 'node:http'
import { type Options, wrapFetch } from 'fetch-keypool'

const SIZE = 1024 ** 3
const CHUNK = new Uint8Array(64 * 1024).fill(7)

export interface GigabyteResult {
  /** Bytes that arrived. */
  readonly arrived: number
  /** By how much the process grew at most while they passed, in bytes. */
  readonly growth: number
}

const [way, settings] = process.argv.slice(2) as [string, string]

// The server is in the same process, so that what it holds would show as well; it holds nothing.
let received = 0
const server = createServer((request, response) => {
  if (request.method === 'POST') {
    request.on('data', (chunk: Buffer) => {
      received += chunk.byteLength
    })
    request.on('end', () => response.end('thanks'))
    return
  }
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=60' })
  let left = SIZE
  const write = () => {
    while (left > 0) {
      left -= CHUNK.byteLength
      if (!response.write(CHUNK)) return response.once('drain', write)
    }
    return response.end()
  }
  write()
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const address = server.address()
if (typeof address !== 'object' || !address) throw new Error('no address')
const origin = `http://127.0.0.1:${address.port}`
const fetch = wrapFetch(globalThis.fetch, {
  origins: origin,
  keys: ['one', 'two'],
  ...(JSON.parse(settings) as Partial<Options>),
})

const upload = () => {
  let left = SIZE
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(CHUNK)
      left -= CHUNK.byteLength
      if (left <= 0) controller.close()
    },
  })
}
const streaming = { method: 'POST', duplex: 'half' } as const

/** What is not flat would be a gigabyte. */
let most = 0
const measure = () => {
  const { rss } = process.memoryUsage()
  most = Math.max(most, rss)
}
globalThis.gc?.()
const before = process.memoryUsage().rss
const timer = setInterval(measure, 20)

let arrived = 0
switch (way) {
  case 'download': {
    const response = await fetch(`${origin}/x`)
    for await (const chunk of response.body!) arrived += chunk.byteLength
    break
  }
  case 'upload':
    await (await fetch(`${origin}/x`, { ...streaming, body: upload() } as RequestInit)).text()
    arrived = received
    break
  case 'upload of a Request':
    await (await fetch(new Request(`${origin}/x`, { ...streaming, body: upload() } as RequestInit))).text()
    arrived = received
    break
}
measure()
clearInterval(timer)
const result: GigabyteResult = { arrived, growth: most - before }
process.send?.(result, () => process.exit(0))
