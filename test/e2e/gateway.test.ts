import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { hashToken } from 'fetch-keypool/gateway'
import OpenAI from 'openai'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loopback } from '../helpers/loopback.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
let folder: string
let children: ChildProcess[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'keypool-cli-'))
})
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
  children = []
  rmSync(folder, { recursive: true, force: true })
})

function command(args: string[], env: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, ['--import', 'tsx', join(root, 'src/cli/index.ts'), ...args], {
    ...{ cwd: root, env: { ...process.env, ...env } },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  children.push(child)
  return child
}

/** Runs a command to its end. */
async function run(args: string[], env: Record<string, string> = {}) {
  const child = command(args, env)
  let output = ''
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', chunk => (output += chunk))
  child.stdin!.end()
  const [code] = (await once(child, 'close')) as [number]
  return { code, output }
}

/** Starts the gateway as a user would, and waits till it listens. */
async function start(config: object, env: Record<string, string> = {}) {
  const file = join(folder, 'keypool.config.json')
  writeFileSync(file, JSON.stringify(config))
  const child = command(['gateway', '--config', file, '--port', '0'], env)
  const said = { text: '' }
  child.stderr!.on('data', chunk => (said.text += chunk))
  const saying = async (pattern: RegExp) => {
    for (let tries = 0; tries < 400; tries++) {
      const found = pattern.exec(said.text)
      if (found) return found[1]!
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    throw new Error(`It did not say ${pattern}: ${said.text}`)
  }
  const url = await saying(/gateway: (http:\S+),/)
  return { child, file, url, saying, said }
}

describe('the gateway on the command line', () => {
  const routes = (upstream: string) => ({
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a text of a configuration
    '/openai': { provider: 'openai', upstream, origins: upstream, keys: '${OPENAI_KEYS}', cache: false },
  })
  const chat = (text: string) => ({
    headers: { 'content-type': 'text/event-stream' },
    body: `data: ${JSON.stringify({ id: '1', object: 'chat.completion.chunk', choices: [{ index: 0, delta: { content: text } }] })}\n\ndata: [DONE]\n\n`,
  })

  it('serves the OpenAI SDK, curl and a raw socket, with keys that none of them knows', async () => {
    const server = await loopback(({ key, url }) => {
      if (key === 'sk-one')
        return {
          status: 429,
          headers: { 'content-type': 'application/json', 'retry-after': '60' },
          body: '{"error":{"code":"rate_limit_exceeded"}}',
        }
      return url.endsWith('/chat/completions')
        ? chat(`hello with ${key.slice(3)}`)
        : { headers: { 'content-type': 'application/json' }, body: '{"data":[]}' }
    })
    const { url, child } = await start(
      {
        ...{ allowPrivateUpstreams: true, log: false, routes: routes(server.url) },
        policies: [{ name: 'callers', authentication: { tokens: [{ id: 'app', hash: hashToken('of-the-app') }] } }],
      },
      { OPENAI_KEYS: 'sk-one,sk-two' },
    )
    const client = new OpenAI({ apiKey: 'of-the-app', baseURL: `${url}/openai/v1` })
    let text = ''
    for await (const chunk of await client.chat.completions.create({ model: 'm', messages: [], stream: true })) {
      text += chunk.choices[0]?.delta.content ?? ''
    }
    expect(text).toBe('hello with two')
    expect((await client.models.list()).data).toEqual([])
    await expect(
      new OpenAI({ apiKey: 'wrong', baseURL: `${url}/openai/v1`, maxRetries: 0 }).models.list(),
    ).rejects.toThrow(/token is not known/)

    const { stdout } = await promisify(execFile)('curl', [
      '-sS',
      '-H',
      'Authorization: Bearer of-the-app',
      `${url}/openai/v1/models`,
    ])
    expect(stdout).toBe('{"data":[]}')

    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write(
      'GET /openai/v1/models HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer of-the-app\r\nConnection: close\r\n\r\n',
    )
    let raw = ''
    socket.on('data', chunk => (raw += chunk))
    await once(socket, 'close')
    expect(raw).toMatch(/^HTTP\/1.1 200 OK\r\n[\s\S]*\{"data":\[\]\}/)
    expect(JSON.stringify(server.received)).not.toContain('of-the-app')
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  it('reads its configuration again when it changes or is told to, keeps the old one where the new one is bad, and ends in order', async () => {
    const server = await loopback(async ({ key, url }) => {
      if (url === '/slow') await new Promise(resolve => setTimeout(resolve, 700))
      return { body: key }
    })
    const config = (keys: string) => ({
      allowPrivateUpstreams: true,
      log: false,
      routes: { '/a': { upstream: server.url, keys, cache: false } },
    })
    const { child, file, url, saying, said } = await start(config('one'))
    const ask = async (path = '/x') => (await fetch(`${url}/a${path}`)).text()
    expect(await ask()).toBe('one')
    writeFileSync(file, JSON.stringify(config('two')))
    await saying(/(read again)/)
    expect(await ask()).toBe('two')
    said.text = ''
    writeFileSync(file, '{ "routes": {\n "/a": {} } }')
    child.kill('SIGHUP')
    expect(await saying(/stays as it was: (.*)/)).toMatch(/keypool.config.json:2:\d+: Option 'routes.\/a'/)
    expect(await ask()).toBe('two')
    const slow = ask('/slow')
    await new Promise(resolve => setTimeout(resolve, 200))
    child.kill('SIGTERM')
    expect(await slow).toBe('two')
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  it('tells an operator how keys are, and does what he says', async () => {
    const server = await loopback(({ key }) => ({ body: key }))
    const { url } = await start({
      ...{ allowPrivateUpstreams: true, log: false, operator: { tokens: [hashToken('of-the-operator')] } },
      routes: { '/a': { upstream: server.url, keys: 'value-one,value-two' } },
    })
    const remote = ['--gateway', url, '--token', 'of-the-operator']
    expect((await run(['keys', 'disable', 'key-1', ...remote])).output).toMatch(
      /key-1 +disabled \(disabled\)\n +key-2 +ready/,
    )
    expect((await run(['keys', 'add', 'value-three', ...remote])).output).toMatch(/key-3 +ready/)
    expect((await run(['status', ...remote])).output).toMatch(/^\/a: 0 calls/)
    expect((await run(['diagnose', ...remote])).output).toContain('Nothing was sent yet.')
    expect(await run(['keys', 'disable', 'nobody', ...remote])).toMatchObject({
      code: 1,
      output: expect.stringContaining("No key has the id 'nobody'"),
    })
    expect(await run(['status', '--gateway', url, '--token', 'wrong'])).toMatchObject({
      code: 1,
      output: expect.stringContaining("operator's token"),
    })
  })

  it('lists the keys of all routes, says its version, and what is missing where no token is shown', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const config = {
      ...{ allowPrivateUpstreams: true, log: false },
      routes: {
        '/a': { upstream: server.url, keys: 'value-one' },
        '/b': { upstream: server.url, keys: 'value-two,value-three' },
      },
    }
    const { url } = await start({ ...config, operator: { tokens: [hashToken('of-the-operator')] } })
    const { output } = await run(['keys', 'list', '--gateway', url, '--token', 'of-the-operator'])
    expect(output).toMatch(/^\/a\n +key-1 +ready\n\/b\n +key-1 +ready\n +key-2 +ready\n$/)
    expect((await run(['keys', '--gateway', url])).output).toMatch(
      /operator's token is needed \(--token, or KEYPOOL_TOKEN/,
    )
    const open = await start(config)
    expect((await run(['keys', 'disable', 'key-1', '--route', '/a', '--gateway', open.url])).output).toMatch(
      /names no operator/,
    )
    expect((await run(['--version'])).output).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  it('runs in several processes, which are one to callers and to the operator, and end together', async () => {
    const server = await loopback(() => ({
      headers: { 'content-type': 'application/json' },
      body: '{"usage":{"total_tokens":10}}',
    }))
    const state = join(folder, 'state.json')
    const { url, child, saying } = await start({
      ...{
        workers: 2,
        state,
        allowPrivateUpstreams: true,
        log: false,
        operator: { tokens: [hashToken('of-the-operator')] },
      },
      policies: [{ name: 'all', rateLimit: { requests: 40, per: '1h', by: 'all' } }],
      routes: {
        '/a': { upstream: server.url, keys: 'value-one,value-two', limits: { requests: 100, per: '1h' }, cache: false },
      },
    })
    await saying(/(2 workers, each with its part)/)
    const headers = { authorization: 'Bearer of-the-operator', 'content-type': 'application/json' }
    const statuses: number[] = []
    for (let count = 0; count < 60; count++) {
      // A connection of its own each time: they go to one process and the other in turn.
      const answer = await fetch(`${url}/a/x`, { headers: { connection: 'close' } })
      statuses.push(answer.status)
      await answer.text()
      if (count % 5 === 0) await new Promise(resolve => setTimeout(resolve, 50))
    }
    const served = statuses.filter(status => status === 200).length
    expect(served).toBeGreaterThanOrEqual(40)
    expect(served).toBeLessThanOrEqual(45)
    const overview = (await (await fetch(`${url}/__keypool/api/overview`, { headers })).json()) as {
      routes: { keys: { attempts: number; limits: { limit: number }[] }[]; stats: { requests: number } }[]
    }
    const [route] = overview.routes
    expect(route!.stats.requests).toBe(served)
    expect(route!.keys.reduce((sum, { attempts }) => sum + attempts, 0)).toBe(served)
    expect(route!.keys.map(({ limits }) => limits[0]!.limit)).toEqual([100, 100])
    const metrics = await (await fetch(`${url}/metrics`, { headers })).text()
    expect(metrics).toContain(`keypool_gateway_answers_total{route="/a",status="200"} ${served}\n`)
    expect(metrics.match(/# TYPE keypool_requests_total/g)).toHaveLength(1)
    const disabled = await fetch(`${url}/__keypool/api/keys/a`, {
      method: 'POST',
      headers,
      body: '{"action":"disable","id":"key-1"}',
    })
    expect(disabled.status).toBe(200)
    for (let count = 0; count < 4; count++) {
      const { keys } = (await (
        await fetch(`${url}/__keypool/api/keys/a`, { headers: { ...headers, connection: 'close' } })
      ).json()) as { keys: { state: string }[] }
      expect(keys.map(each => each.state)).toEqual(['disabled', 'ready'])
    }
    child.kill('SIGTERM')
    expect(await once(child, 'exit')).toEqual([0, null])
    await expect(fetch(`${url}/health`)).rejects.toThrow()
  })

  it('starts a process again that has died, and says at once what keeps all from starting', async () => {
    const server = await loopback(() => ({ body: 'x' }))
    const config = {
      workers: 2,
      allowPrivateUpstreams: true,
      log: false,
      routes: { '/a': { upstream: server.url, keys: 'value-one' } },
    }
    const { url, child, said, saying } = await start(config)
    const { stdout } = await promisify(execFile)('pgrep', ['-P', String(child.pid)]).catch(() => ({ stdout: '' }))
    const [first] = stdout.trim().split('\n')
    if (first) {
      process.kill(Number(first), 'SIGKILL')
      await saying(/(has ended \(SIGKILL\))/)
    }
    for (let count = 0; count < 10; count++)
      expect((await fetch(`${url}/a/x`, { headers: { connection: 'close' } })).status).toBe(200)
    said.text = ''
    const port = new URL(url).port
    const file = join(folder, 'other.json')
    writeFileSync(file, JSON.stringify({ ...config, listen: { port: Number(port) } }))
    const { code, output } = await run(['gateway', '--config', file])
    expect(code).toBe(1)
    expect(output).toContain('EADDRINUSE')
  })

  it('checks each key once, and says what it is good for', async () => {
    const server = await loopback(({ key }) =>
      key === 'bad'
        ? { status: 401, headers: { 'content-type': 'application/json' }, body: '{"error":{"code":"invalid_api_key"}}' }
        : { headers: { 'x-ratelimit-limit-requests': '60', 'x-ratelimit-remaining-requests': '59' }, body: '{}' },
    )
    const file = join(folder, 'keypool.config.json')
    writeFileSync(file, JSON.stringify({ routes: routes(server.url) }))
    const { code, output } = await run(['check', '--config', file], { OPENAI_KEYS: 'good,bad' })
    expect(output).toMatch(/^\/openai\n +key-1 +good: 59 of 60 requests left\n +key-2 +invalid-key \(401\)\n$/)
    expect(code).toBe(1)
    expect(server.received.map(({ url }) => url)).toEqual(['/v1/models', '/v1/models'])
  })

  it('says what is wrong in a line, without a stack', async () => {
    expect(await run(['gateway', '--config', join(folder, 'none.json')])).toMatchObject({
      code: 1,
      output: expect.stringMatching(/^The configuration can't be read: .*none.json.*\n$/),
    })
    expect(await run(['nonsense'])).toMatchObject({
      code: 1,
      output: expect.stringMatching(/^There is no command 'nonsense'/),
    })
    expect((await run(['--help'])).output).toContain('fetch-keypool gateway')
  })
})
