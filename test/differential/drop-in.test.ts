import { describe, expect, it } from 'vitest'
import { CASES } from './cases.js'
import { observe } from './observe.js'

/** The ways in which the wrapped fetch looks at what passes through it. */
const SETTINGS = [
  ['as it is', {}],
  [
    'with limits that are held to the end of the body',
    { limits: [{ requests: 10_000, per: '1s' }, { concurrency: 50 }] },
  ],
] as const

describe.each(SETTINGS)('a wrapped fetch, %s, cannot be told from fetch', (_, options) => {
  describe.each(CASES)('by %s', (_, cases) => {
    it.each(cases.map(each => [each.name, each] as const))('%s', async (_, each) => {
      const [bare, wrapped] = await Promise.all([observe(each, false), observe(each, true, options)])
      expect(wrapped).toEqual(bare)
    })
  })
})

it('the suite has some hundreds of cases, each of a name of its own', () => {
  const names = CASES.flatMap(([area, cases]) => cases.map(({ name }) => `${area}: ${name}`))
  expect(names.length).toBeGreaterThan(300)
  expect(new Set(names).size).toBe(names.length)
})
