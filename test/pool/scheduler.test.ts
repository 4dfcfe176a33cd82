import { describe, expect, it } from 'vitest'
import { type Clock, systemClock } from '../../src/clock.js'
import { createPool } from '../../src/pool/create-pool.js'
import type { Demand } from '../../src/pool/demand.js'
import type { Lease } from '../../src/pool/lease.js'
import { resolveOptions } from '../../src/settings.js'

/**
 * A clock as real ones are: it moves on while the program computes, by a millisecond with every few readings, and its
 * timers fire up to a millisecond early.
 */
function restlessClock(readingsEach: number) {
  let readings = 0
  let waited = 0
  const timers = new Set<{ at: number; callback: () => void }>()
  const now = () => 1_000_000 + waited + Math.floor(++readings / readingsEach)
  const clock: Clock = {
    ...systemClock(),
    now,
    wallNow: now,
    schedule(callback, delay) {
      const timer = { at: now() + delay, callback }
      timers.add(timer)
      return () => timers.delete(timer)
    },
  }
  return {
    clock,
    /** Runs the next timer; false if there is none. */
    step(): boolean {
      const [next] = [...timers].sort((a, b) => a.at - b.at)
      if (!next) return false
      timers.delete(next)
      waited += Math.max(0, next.at - now() - 1)
      next.callback()
      return true
    },
  }
}

describe('the line', () => {
  it.each([2, 3, 5, 7, 8, 11, 13])(
    'loses no wake-up to a restless clock (a tick in %i readings)',
    async readingsEach => {
      const { clock, step } = restlessClock(readingsEach)
      const limits = { requests: 60, per: '1s', burst: 4 } as const
      const options = { origins: 'https://a.example', keys: ['a', 'b', 'c'], limits }
      const engine = createPool(resolveOptions(options), clock)
      const demand: Demand = {
        callId: 'call',
        weigh: () => 1,
        weight: 1,
        group: '',
        part: '',
        resource: '',
        resources: [],
        accepts: undefined,
        prefers: undefined,
        avoids: undefined,
        mayProbe: true,
        rank: 1,
        deadline: 1e12,
        signal: undefined,
        summary: () => ({ method: 'GET', url: 'https://a.example/' }),
      }
      let served = 0
      const serve = (lease: Lease) => {
        served++
        lease.leaves()
        lease.answered()
        lease.end()
      }
      const calls = Array.from({ length: 200 }, async () => serve(await engine.scheduler.acquire(demand)))
      for (let steps = 0; served < 200 && steps < 5_000; steps++) {
        await new Promise(resolve => setImmediate(resolve))
        if (!step() && served < 200) await new Promise(resolve => setImmediate(resolve))
      }
      expect(served).toBe(200)
      await Promise.all(calls)
    },
  )
})
