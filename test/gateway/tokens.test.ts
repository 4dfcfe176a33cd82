import { request, type ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import type { PolicyConfig } from 'fetch-keypool/gateway'
import { describe, expect, it, vi } from 'vitest'
import { gateway } from '../helpers/gateway.js'
import { loopback, type Reply } from '../helpers/loopback.js'

const budget: PolicyConfig = { name: 'purse', budget: { tokens: 10_000, per: 'day' } }
const usage = JSON.stringify({ usage: { total_tokens: 5_000 } })
const SSE = { 'content-type': 'text/event-stream' }
const JSON_TYPE = { 'content-type': 'application/json' }
const chunk = 'data: {"choices":[{"delta":{"content":"all that was asked for"}}]}\n\n'

async function behind(
  policies: readonly PolicyConfig[],
  reply: (body: string) => Reply | Promise<Reply>,
  route: object = {},
) {
  const server = await loopback(({ body }) => reply(body))
  const { url } = await gateway({
    routes: { '/ai': { upstream: server.url, origins: server.url, keys: ['key-one-0001'], ...route } },
    policies,
  })
  const call = async (body: object = { model: 'x' }, path = '/v1/chat/completions') => {
    const answer = await fetch(`${url}/ai${path}`, { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) })
    return { status: answer.status, text: await answer.text(), headers: answer.headers }
  }
  return { url, call, server }
}

async function countServed(call: () => Promise<{ status: number }>, times = 8): Promise<number> {
  let served = 0
  for (let count = 0; count < times; count++) if ((await call()).status === 200) served++
  return served
}

describe('a budget of tokens', () => {
  it.each<[string, () => Reply, number]>([
    ['told in JSON', () => ({ headers: JSON_TYPE, body: usage }), 2],
    [
      'told in JSON that is packed',
      () => ({ headers: { ...JSON_TYPE, 'content-encoding': 'gzip' }, body: gzipSync(usage) }),
      2,
    ],
    ['told at the end of a stream', () => ({ headers: SSE, body: `${chunk}data: ${usage}\n\n` }), 2],
    [
      'told beside a tool that says another',
      () => ({
        headers: JSON_TYPE,
        body: JSON.stringify({
          content: [{ input: { total_tokens: 0 } }],
          usage: { input_tokens: 4_000, output_tokens: 1_000 },
        }),
      }),
      2,
    ],
    ['not told by a stream', () => ({ headers: SSE, body: `${chunk.repeat(20)}data: [DONE]\n\n` }), 3],
    ['not told by JSON', () => ({ headers: JSON_TYPE, body: '{"answer":"much"}' }), 3],
    [
      'hidden by an unknown packing',
      () => ({ headers: { ...JSON_TYPE, 'content-encoding': 'zstd' }, body: Buffer.from('28b52ffd0458', 'hex') }),
      3,
    ],
    ['of a refusal, which takes none', () => ({ status: 404, headers: JSON_TYPE, body: '{"error":{}}' }), 0],
  ])('counts what is %s', async (_, reply, most) => {
    const { call } = await behind([budget], reply)
    expect(await countServed(call)).toBe(most)
  })

  it('counts what callers have had done who hang up', async () => {
    const { url } = await behind([budget], () => (response: ServerResponse) => {
      response.writeHead(200, SSE)
      response.write(chunk)
      setTimeout(() => response.end(`data: ${usage}\n\n`), 200)
    })
    const leave = () =>
      new Promise<{ status: number }>(resolve => {
        const sent = request(`${url}/ai/x`, { method: 'POST', headers: JSON_TYPE, agent: false }, answer => {
          answer.on('error', () => {})
          const status = answer.statusCode!
          if (status !== 200) {
            answer.resume()
            resolve({ status })
            return
          }
          answer.once('data', () => {
            sent.destroy()
            setTimeout(() => resolve({ status }), 30)
          })
        })
        sent.on('error', () => {})
        sent.end('{"model":"x"}')
      })
    expect(await countServed(leave)).toBeLessThanOrEqual(3)
  })

  it('counts nothing for callers who hang up before anything was sent', async () => {
    const { url, call, server } = await behind([budget], () => ({ headers: JSON_TYPE, body: usage }), {
      limits: { requests: 1, per: '2s' },
      maxWait: '10s',
    })
    expect((await call()).status).toBe(200)
    const gone = new AbortController()
    const waiting = fetch(`${url}/ai/x`, {
      method: 'POST',
      headers: JSON_TYPE,
      body: '{"model":"x"}',
      signal: gone.signal,
    })
    setTimeout(() => gone.abort(), 100)
    await expect(waiting).rejects.toThrow()
    // The gateway learns of it a moment later.
    await vi.waitFor(async () => expect((await call()).status).toBe(200), { timeout: 5_000 })
    expect(server.received).toHaveLength(2)
  })

  it('is not overspent by many at once, by more than what each has reserved', async () => {
    const { call, server } = await behind([budget], async () => {
      await new Promise(resolve => setTimeout(resolve, 100))
      return { headers: JSON_TYPE, body: usage }
    })
    const answers = await Promise.all(Array.from({ length: 200 }, () => call()))
    expect(answers.filter(({ status }) => status === 200).length).toBe(server.received.length)
    expect(server.received.length).toBeLessThanOrEqual(3)
    expect(answers.find(({ status }) => status === 429)!.headers.get('retry-after')).toBe('1')
  })

  it('lets as many go at once as say that they take little, and one as long as anything is left', async () => {
    const { call, server } = await behind([budget], async () => {
      await new Promise(resolve => setTimeout(resolve, 100))
      return { headers: JSON_TYPE, body: JSON.stringify({ usage: { total_tokens: 500 } }) }
    })
    const small = { model: 'x', max_tokens: 490 }
    const answers = await Promise.all(Array.from({ length: 40 }, () => call(small)))
    expect(answers.filter(({ status }) => status === 200).length).toBe(server.received.length)
    expect(server.received.length).toBe(20)
    expect((await call(small)).status).toBe(429)
    const tight = await behind([{ name: 'tight', budget: { tokens: 300, per: 'day' } }], () => ({
      ...{ headers: JSON_TYPE, body: JSON.stringify({ usage: { total_tokens: 100 } }) },
    }))
    expect(await countServed(tight.call)).toBe(3)
  })

  it('is told what is left, reservations taken off', async () => {
    const { call } = await behind([budget], () => ({ headers: JSON_TYPE, body: usage }))
    const { headers } = await call({ model: 'x', max_tokens: 1_000 })
    const left = Number(/"purse";r=(\d+)/.exec(headers.get('ratelimit')!)![1])
    expect(left).toBeGreaterThan(8_900)
    expect(left).toBeLessThan(9_000)
  })

  it('of one caller behind a network of IPv6 is one', async () => {
    const { url } = await behind([{ name: 'each', rateLimit: { requests: 2, per: '1m', by: 'address' } }], () => ({
      body: '{}',
    }))
    expect(url).toBeDefined()
    const server = await loopback(() => ({ body: '{}' }))
    const made = await gateway({
      routes: { '/ai': { upstream: server.url, keys: ['key-one-0001'] } },
      trustedProxies: ['127.0.0.1'],
      policies: [
        { name: 'who', addresses: { allow: ['::/0'] } },
        { name: 'each', rateLimit: { requests: 2, per: '1m', by: 'address' } },
        { name: 'authentication', authentication: { tokens: [{ id: 'a', hash: HASH_OF_T }] } },
      ],
    })
    const from = async (address: string) =>
      (await fetch(`${made.url}/ai/x`, { headers: { 'x-forwarded-for': address, authorization: 'Bearer t' } })).status
    expect([await from('2001:db8:1:2::1'), await from('2001:db8:1:2:ffff::9'), await from('2001:db8:1:2::3')]).toEqual([
      200, 200, 429,
    ])
    expect(await from('2001:db8:1:3::1')).toBe(200)
  })
})

/** The hash of `t`. */
const HASH_OF_T = 'sha256:e3b98a4da31a127d4bde6e43033f66ba274cab0eb7eb1c70ec41402bf6273dd8'

describe('the usage of streams that tell it only where they are asked', () => {
  const events = (withUsage: boolean) =>
    [
      `data: ${JSON.stringify({ id: '1', choices: [{ index: 0, delta: { content: 'Hi' } }], ...(withUsage ? { usage: null } : {}) })}`,
      `data: ${JSON.stringify({ id: '1', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], ...(withUsage ? { usage: null } : {}) })}`,
      ...(withUsage ? [`data: ${JSON.stringify({ id: '1', choices: [], usage: { total_tokens: 6_000 } })}`] : []),
      'data: [DONE]',
    ]
      .map(event => `${event}\n\n`)
      .join('')

  async function openai(policies: readonly PolicyConfig[], route: object = {}) {
    return behind(
      policies,
      body => {
        const { stream_options: options } = JSON.parse(body) as { stream_options?: { include_usage?: boolean } }
        return { headers: SSE, body: events(options?.include_usage === true) }
      },
      { provider: 'openai', ...route },
    )
  }

  it('is asked for, counted, and taken out again for callers who did not ask', async () => {
    const { call, server } = await openai([budget])
    const first = await call({ model: 'x', stream: true })
    expect(first.text).toBe(events(false))
    expect(JSON.parse(server.received[0]!.body)).toEqual({
      model: 'x',
      stream: true,
      stream_options: { include_usage: true },
    })
    await call({ model: 'x', stream: true })
    expect((await call({ model: 'x', stream: true })).status).toBe(429)
  })

  it('takes no longer where one line comes in very many pieces', async () => {
    const { call } = await behind(
      [budget],
      () => (response: ServerResponse) => {
        response.writeHead(200, SSE)
        for (let count = 0; count < 20_000; count++) response.write('xx')
        response.end('\n')
      },
      { provider: 'openai' },
    )
    expect((await call({ model: 'x', stream: true })).text).toHaveLength(40_001)
  })

  it('stays in for callers who did', async () => {
    const { call } = await openai([budget])
    expect((await call({ model: 'x', stream: true, stream_options: { include_usage: true } })).text).toBe(events(true))
  })

  it('is not asked for where nobody counts, or nothing is streamed', async () => {
    const nobody = await openai([])
    await nobody.call({ model: 'x', stream: true })
    expect(nobody.server.received[0]!.body).toBe('{"model":"x","stream":true}')
    const whole = await openai([budget])
    await whole.call({ model: 'x', stream: false })
    expect(whole.server.received[0]!.body).toBe('{"model":"x","stream":false}')
  })

  it('is asked for where keys have limits of tokens', async () => {
    const { call, server } = await openai([], { limits: { tokens: 100_000, per: '1m' } })
    expect((await call({ model: 'x', stream: true })).text).toBe(events(false))
    expect(server.received[0]!.body).toContain('include_usage')
  })
})
