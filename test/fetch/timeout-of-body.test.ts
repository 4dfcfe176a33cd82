import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { loopback } from '../helpers/loopback.js'

/** Sends a part, and then nothing any more. */
const stall = (response: ServerResponse) => {
  response.writeHead(200, { 'content-type': 'text/plain' })
  response.write('first part')
}
const READERS: Record<string, (response: Response) => Promise<unknown>> = {
  'text()': response => response.text(),
  'arrayBuffer()': response => response.arrayBuffer(),
  'a reader': async response => {
    const reader = response.body!.getReader()
    while (!(await reader.read()).done);
  },
  'a loop': async response => {
    for await (const _ of response.body as unknown as AsyncIterable<unknown>);
  },
  'a clone': response => response.clone().text(),
}

describe('timeout.body', () => {
  it.each(Object.entries(READERS))('ends a body that has stalled, read by %s', async (_, read) => {
    const server = await loopback(() => stall)
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], timeout: { body: 60 } })
    const response = await fetch(server.url)
    await expect(read(response)).rejects.toMatchObject({ name: 'TimeoutError', code: 'ERR_TIMEOUT' })
  })

  it('hands on what has come before', async () => {
    const server = await loopback(() => stall)
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], timeout: { body: 60 } })
    const reader = (await fetch(server.url)).body!.getReader()
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('first part')
    await expect(reader.read()).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
  })

  it('lets a body take as long as it likes that goes on', async () => {
    const server = await loopback(() => async response => {
      response.writeHead(200)
      for (let index = 0; index < 8; index++) {
        response.write('.')
        await sleep(50)
      }
      response.end()
    })
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], timeout: { body: 300 } })
    expect(await (await fetch(server.url)).text()).toBe('........')
  })

  it('does not run while nobody reads', async () => {
    const big = 'x'.repeat(400_000)
    const server = await loopback(() => ({ body: big }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], timeout: { body: 60 }, cache: false })
    const response = await fetch(server.url)
    const reader = response.body!.getReader()
    let size = (await reader.read()).value!.byteLength
    await sleep(200)
    for (let part = await reader.read(); !part.done; part = await reader.read()) size += part.value.byteLength
    expect(size).toBe(big.length)
  })

  it('does not run for a small body that nobody reads yet, and that comes late', async () => {
    const server = await loopback(() => async response => {
      response.writeHead(200)
      response.flushHeaders()
      await sleep(250)
      response.end('late')
    })
    const fetch = wrapFetch(globalThis.fetch, {
      origins: server.url,
      keys: ['a'],
      timeout: { body: 100 },
      cache: false,
    })
    const response = await fetch(server.url)
    await sleep(400)
    expect(await response.text()).toBe('late')
  })

  it('gives back the permit of what has stalled', async () => {
    const server = await loopback((_, count) => (count === 1 ? stall : { body: 'second' }))
    const options = { keys: ['a'], limits: { concurrency: 1 }, timeout: { body: 60 }, cache: false } as const
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, ...options })
    await expect((await fetch(server.url)).text()).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
    expect(await (await fetch(server.url)).text()).toBe('second')
  })

  it('must be a duration', () => {
    const options = { origins: 'https://a.example', keys: ['a'], timeout: { body: 0 } }
    expect(() => wrapFetch(globalThis.fetch, options)).toThrow(/timeout\.body/)
  })
})
