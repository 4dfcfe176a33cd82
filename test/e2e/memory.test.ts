import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { GigabyteResult } from '../helpers/gigabyte.js'

const SCRIPT = fileURLToPath(new URL('../helpers/gigabyte.ts', import.meta.url))

async function pass(way: string, options: object): Promise<GigabyteResult> {
  const child = fork(SCRIPT, [way, JSON.stringify(options)], { execArgv: ['--expose-gc', '--import', 'tsx'] })
  const [result] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`ended with ${code}`))),
  ])) as [GigabyteResult]
  return result
}

describe('a gigabyte', () => {
  it.each([
    ['download', {}],
    ['download', { limits: [{ concurrency: 5 }, { tokens: 1_000_000, per: '1s' }] }],
    ['upload', {}],
    ['upload of a Request', { limits: { concurrency: 5 } }],
  ])('passes in a %s with %j, and hardly any of it is held', { timeout: 90_000 }, async (way, options) => {
    const { arrived, growth } = await pass(way, options)
    expect(arrived).toBe(1024 ** 3)
    // A ratio: what is buffered without a bound would be all of it.
    expect(growth / arrived).toBeLessThan(0.25)
  })
})
