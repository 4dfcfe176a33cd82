import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { startProvider } from '../../examples/demo/start-provider.js'
import { hasRedis, startRedis } from '../helpers/redis.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Runs an example as a reader would, in a process of its own; fails when it does. */
async function run(script: string, args: string[] = [], env: Record<string, string> = {}): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', `examples/${script}`, ...args], {
    cwd: root,
    env: { ...process.env, ...env },
  })
  return stdout
}

describe('the example', () => {
  it.each([
    ['events.ts', /team-a → team-b[\s\S]*old is out: invalid-key \(401\)/],
    ['several-windows.ts', /\n0 refused/],
    ['openai-sdk.ts', /key-1 → key-2: rate-limit\nHello, world!/],
    ['more-sdks.ts', /Hello from Claude[\s\S]*Hello from GPT\nhello-from-github\n.*Hello from anywhere/],
    ['diagnosis.ts', /The declared limits are higher than the real ones/],
    ['service.ts', /served: \d+, busy: \d+/],
    ['gateway/gateway.ts', /served: 30, over the caller's limit: 10\nwithout a token: 401\nkey-1 \w+\nkey-2 \w+\n/],
  ])('%s runs', async (script, expected) => {
    expect(await run(script)).toMatch(expected)
  })
})

describe.runIf(hasRedis)('the example of many processes', () => {
  it('runs', async () => {
    const redis = await startRedis()
    try {
      expect(await run('many-processes.ts', [], { REDIS_URL: redis.url })).toMatch(
        /^answers: 80 × 200, refused on the way: [0-3]\n$/,
      )
    } finally {
      await redis.stop()
    }
  })
})

describe('the demo', () => {
  it('does the main job and tells of each key', async () => {
    const output = await run('demo/demo.ts')
    expect(output).toContain('answers: 500 × 200')
    expect(output).toMatch(/alice .* 0 /)
    expect(output).toMatch(/carol .* cooling .* quota/)
    expect(output).toMatch(/dave .* disabled .* invalid-key/)
    expect(output).toMatch(/answers from the cache: 49/)
    expect(output).not.toContain('demo-secret')
  })

  it('does the same against an API of yours', async () => {
    const provider = await startProvider({ keys: { 'own-key-1': {}, 'own-key-2': {} } })
    try {
      const output = await run(
        'demo/demo.ts',
        ['--url', `${provider.url}/x`, '--keys-from', 'OWN_KEYS', '--count', '20', '--limits', '50/1s'],
        { OWN_KEYS: 'own-key-1, own-key-2' },
      )
      expect(output).toContain('answers: 20 × 200')
      expect(output).not.toContain('own-key')
    } finally {
      provider.stop()
    }
    await expect(
      run('demo/demo.ts', ['--url', 'http://127.0.0.1:1/', '--keys-from', 'NO_SUCH_VARIABLE']),
    ).rejects.toThrow(/holds no keys/)
  })
})
