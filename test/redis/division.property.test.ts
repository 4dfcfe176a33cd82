import fc from 'fast-check'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DIVIDE } from '../../src/redis/scripts.js'
import { hasRedis, type RunningRedis, startRedis } from '../helpers/redis.js'

let redis: RunningRedis
let client: Redis
beforeAll(async () => {
  if (!hasRedis) return
  redis = await startRedis()
  client = new Redis(redis.url)
})
afterAll(async () => {
  client?.disconnect()
  await redis?.stop()
})

interface Member {
  held: number
  inUse: number
  wanted: number
  isDead: boolean
}

const MEMBERS = 5

/** Says what a member holds and wants, and does what the answer says, as far as its units are free. */
async function ask(pool: string, id: number, member: Member, units: number, flow: number, leaving = false) {
  const request = {
    ...{
      me: `member-${id}`,
      lease: 1e9,
      life: 1e9,
      turn: 1e12,
      keep: 60_000,
      renew: false,
      leaving,
      crew: 1,
      active: true,
    },
    quotas: [
      {
        name: 'quota',
        claims: [{ k: 'limit', n: units, r: flow, p: 1e9, h: member.held, w: member.wanted, m: 1, x: member.inUse }],
      },
    ],
  }
  const text = await client.eval(DIVIDE.source, 1, pool, JSON.stringify(request), 'channel')
  const [granted, content] = JSON.parse(String(text)).quotas[0].g[0] as [number, number]
  member.held = Math.max(member.inUse, granted)
  return { granted, content }
}

const steps = fc.array(
  fc.record({
    who: fc.integer({ min: 0, max: MEMBERS - 1 }),
    wanted: fc.integer({ min: 0, max: 30 }),
    /** How much of what it holds is in use from then on. */
    use: fc.double({ min: 0, max: 1, noNaN: true }),
    does: fc.constantFrom('asks' as const, 'asks' as const, 'asks' as const, 'leaves' as const, 'dies' as const),
  }),
  { minLength: 1, maxLength: 40 },
)

describe.runIf(hasRedis)('dividing a limit', () => {
  it.each([
    ['in whole units', 0],
    ['of a bucket', 0.01],
  ])(
    '%s: never is more held than there is, whoever asks, leaves or dies; in the end all is in use',
    async (_, flow) => {
      let run = 0
      await fc.assert(
        fc.asyncProperty(fc.integer({ min: 1, max: 20 }), steps, async (units, all) => {
          const pool = `${flow} ${run++}`
          const members: Member[] = Array.from({ length: MEMBERS }, () => ({
            held: 0,
            inUse: 0,
            wanted: 0,
            isDead: false,
          }))
          let lost = 0
          const held = () => members.reduce((sum, each) => sum + each.held, 0) + lost
          for (const { who, wanted, use, does } of all) {
            const member = members[who]!
            if (member.isDead) continue
            if (does === 'dies') {
              // Its lease is longer than the test: what it held is gone.
              member.isDead = true
              continue
            }
            member.wanted = wanted
            if (does === 'leaves') {
              await ask(pool, who, member, units, flow, true)
              // Windows keep what was used till it comes back; a bucket has nothing to keep.
              lost += member.inUse
              members[who] = { held: 0, inUse: 0, wanted: 0, isDead: false }
            } else {
              await ask(pool, who, member, units, flow)
              member.inUse = flow > 0 ? 0 : Math.floor(member.held * use)
            }
            expect(held()).toBeLessThanOrEqual(units + 1e-6)
          }
          // What the dead would have is kept for them till their lease is over.
          if (members.some(({ isDead }) => isDead)) return
          const left = members.map((member, id) => ({ member, id }))
          for (let round = 0; round < 8; round++) {
            for (const { member, id } of left) {
              Object.assign(member, { wanted: 30, inUse: 0 })
              await ask(pool, id, member, units, flow)
              expect(held()).toBeLessThanOrEqual(units + 1e-6)
            }
          }
          const had = left.map(({ member }) => member.held)
          const sum = had.reduce((total, each) => total + each, 0)
          expect(sum).toBeGreaterThan((units - lost) * 0.85 - 1)
          // Fairly: nobody has more than a unit, or its part of a bucket, more than another, where there is one for each.
          if (units - lost >= left.length) {
            expect(Math.max(...had) - Math.min(...had)).toBeLessThanOrEqual(flow > 0 ? units * 0.1 + 1 : 1)
          }
        }),
        { numRuns: 40 },
      )
    },
  )

  it.each([
    ['in whole units', 0],
    ['of a bucket', 0.01],
  ])('%s: where more is held than there is, as after each has stood alone, it is brought back', async (_, flow) => {
    const members = [1, 2, 3].map((): Member => ({ held: 10, inUse: 0, wanted: 10, isDead: false }))
    for (let round = 0; round < 4; round++) {
      for (const [id, member] of members.entries()) await ask(`too much ${flow}`, id, member, 10, flow)
    }
    expect(members.reduce((sum, { held }) => sum + held, 0)).toBeLessThanOrEqual(10 + 1e-6)
  })

  it('gives the content of a bucket once, and what flows in', async () => {
    const make = (): Member => ({ held: 0, inUse: 0, wanted: 10, isDead: false })
    const [one, other] = [make(), make()]
    expect(await ask('bucket', 0, one, 10, 1e-9)).toMatchObject({ granted: 10, content: 10 })
    one.wanted = 0
    one.held = 0
    await ask('bucket', 0, one, 10, 1e-9)
    const { granted, content } = await ask('bucket', 1, other, 10, 1e-9)
    expect(granted).toBe(10)
    // It was taken out by the one before.
    expect(content).toBeLessThan(0.1)
  })
})
