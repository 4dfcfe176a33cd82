import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { transformSync } from 'esbuild'
import Keyv from 'keyv'
import * as openai from 'openai'
import { describe, expect, it } from 'vitest'
import * as gateway from '../src/gateway/index.js'
import * as keypool from '../src/index.js'
import * as keyv from '../src/keyv/index.js'
import * as otel from '../src/otel/index.js'
import * as redis from '../src/redis/index.js'
import { PROVIDERS } from '../src/signals/providers/index.js'
import { EVENT_NAMES } from './helpers/events.js'

/** A Redis that is never there. */
class NoRedis {
  status = 'end'
  on() {}
  disconnect() {}
  duplicate = () => this
  evalsha = () => Promise.reject(new Error('no Redis'))
  hgetall = this.evalsha
}

const readme = readFileSync(fileURLToPath(new URL('../README.md', import.meta.url)), 'utf8')
const snippets = [...readme.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code!)

/** Runs a snippet as the module that it is, against a stand-in for the network. */
async function run(code: string, given: Record<string, unknown>): Promise<Record<string, unknown>> {
  const requests: Request[] = []
  const network = async (input: RequestInfo | URL, init?: RequestInit) => {
    requests.push(new Request(input, init))
    return Response.json({ ok: true })
  }
  // Imports become lookups, so that the rest can be the body of a function, with its top-level awaits.
  const modules: Record<string, Record<string, unknown>> = {
    ...{
      'fetch-keypool': keypool,
      'fetch-keypool/keyv': keyv,
      'fetch-keypool/redis': redis,
      'fetch-keypool/gateway': gateway,
      'fetch-keypool/otel': otel,
      openai,
    },
    ioredis: { Redis: NoRedis },
    keyv: { default: Keyv },
  }
  const body = code.replace(/^import (?:type )?(\w+|\{[^}]+\}) from '([^']+)'$/gm, (_, names: string, from: string) => {
    return names.startsWith('{') ? `const ${names} = modules['${from}']` : `const ${names} = modules['${from}'].default`
  })
  const results = [...code.matchAll(/const (fetch|client|urgent)\b/g)].map(([, name]) => name)
  const wrapped = `(async () => { ${body}\n; return { ${results.join(', ')} } })()`
  const { code: script } = transformSync(wrapped, { loader: 'ts', target: 'es2022' })
  const log: unknown[] = []
  const all = {
    modules,
    console: { ...console, log: (...parts: unknown[]) => log.push(parts), debug() {}, info() {} },
    globalThis: { ...globalThis, fetch: network },
    process: { env: { KEY_A: 'aa', KEY_B: 'bb', OPENAI_KEYS: 'oa,ob' } },
    // What an earlier snippet of the page has imported.
    ...(body.includes('wrapFetch }') ? {} : { wrapFetch: keypool.wrapFetch }),
    ...given,
  }
  const run = new Function(...Object.keys(all), `return ${script}`)
  return { ...((await run(...Object.values(all))) as Record<string, unknown>), requests, log }
}

function pooled(network: typeof globalThis.fetch = async () => Response.json({})) {
  return keypool.wrapFetch(network, { origins: 'https://api.example.com', keys: ['aa', { value: 'bb', id: 'team-b' }] })
}

describe('README', () => {
  it('has its snippets', () => {
    expect(snippets.length).toBeGreaterThanOrEqual(9)
  })

  it.each(
    snippets.map((code, index) => [index + 1, code.split('\n').find(line => line.trim() !== '')!, code] as const),
  )('snippet %i runs: %s', async (_, __, code) => {
    const given = /const fetch\b/.test(code) ? {} : { fetch: pooled() }
    const { fetch, requests, log } = (await run(code, given)) as {
      fetch?: keypool.PooledFetch
      requests: Request[]
      log: unknown[]
    }
    if (fetch && code.includes('await fetch'))
      expect(requests[0]!.headers.get('authorization')).toMatch(/^Bearer (aa|bb)$/)
    if (fetch) expect(fetch.pool.keys().length).toBeGreaterThan(0)
    if (code.includes('console.log(id, state')) expect(log.length).toBeGreaterThan(2)
    if (fetch && /const store|keyvStore\(/.test(code)) {
      const ask = async () => (await fetch('https://api.example.com/kept')).json()
      expect([await ask(), await ask()]).toEqual([{ ok: true }, { ok: true }])
      expect(requests).toHaveLength(1)
    }
    await (fetch ?? (given as { fetch: keypool.PooledFetch }).fetch).close()
  })

  it('names every provider', () => {
    for (const name of Object.keys(PROVIDERS)) expect(readme).toContain(`\`${name}\``)
  })

  it('names every event, every error code and every option', () => {
    for (const name of EVENT_NAMES) expect(readme).toContain(`| \`${name}\` |`)
    const errors = readFileSync(fileURLToPath(new URL('../src/errors.ts', import.meta.url)), 'utf8')
    for (const [code] of errors.matchAll(/ERR_[A-Z_]+/g)) expect(readme).toContain(`| \`${code}\` |`)
    const options = readFileSync(fileURLToPath(new URL('../src/options.ts', import.meta.url)), 'utf8')
    const interfaces = options
      .split('export interface ')
      .filter(text => /^(Options|KeyOptions|Limit|RetryOptions|CacheOptions)\b/.test(text))
    const names = interfaces.flatMap(text =>
      [...text.split('\n}')[0]!.matchAll(/^ {2}(\w+)\??:/gm)].map(([, name]) => name!),
    )
    expect(names.length).toBeGreaterThan(35)
    for (const name of names) expect(readme).toMatch(new RegExp(`\\| .*\`${name}\``))
  })
})
