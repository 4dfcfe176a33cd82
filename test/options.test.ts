import { KeypoolError, type Options, wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'

const GOOD = { origins: 'https://api.example.com', keys: ['k'] }

function refusal(options: unknown): unknown {
  try {
    wrapFetch(globalThis.fetch, options as Options)
  } catch (error) {
    return error
  }
  return undefined
}

const bad: [what: string, options: unknown, option: string, expected: RegExp, received: RegExp][] = [
  ['nothing', undefined, 'options', /options/, /undefined/],
  ['null', null, 'options', /options/, /null/],
  ['no origins', { keys: ['k'] }, 'origins', /given/, /nothing/],
  ['no keys option', { origins: 'https://a.b' }, 'keys', /given/, /nothing/],
  ['no keys', { ...GOOD, keys: [] }, 'keys', /at least one key/, /an empty array/],
  ['an empty key', { ...GOOD, keys: [''] }, 'keys[0].value', /not empty/, /an empty string/],
  ['an empty key value', { ...GOOD, keys: ['k', { value: '' }] }, 'keys[1].value', /not empty/, /an empty string/],
  ['an unset key', { ...GOOD, keys: [undefined] }, 'keys[0]', /a key/, /undefined/],
  ['a key without a value', { ...GOOD, keys: [{ id: 'a' }] }, 'keys[0].value', /given/, /nothing/],
  [
    'two equal ids',
    {
      ...GOOD,
      keys: [
        { value: 'a', id: 'x' },
        { value: 'b', id: 'x' },
      ],
    },
    'keys[1].id',
    /own/,
    /keys\[0\]: 'x'/,
  ],
  ['the same key twice', { ...GOOD, keys: ['a', 'a'] }, 'keys[1].value', /once/, /keys\[0\]/],
  ['an empty id', { ...GOOD, keys: [{ value: 'a', id: '' }] }, 'keys[0].id', /1 to 200/, /an empty string/],
  ['a key with a line break', { ...GOOD, keys: ['abc\n'] }, 'keys[0].value', /header can carry/, /line break/],
  [
    'a key that is not Latin-1',
    { ...GOOD, keys: ['schlüssel-ключ'] },
    'keys[0].value',
    /header can carry/,
    /cannot carry/,
  ],
  ...(
    [
      ['with a space before it', ' sk-abc', /a space around it/],
      ['with a line break after it', 'sk-abc\r\n', /a line break around it/],
      ['of nothing but spaces', '   ', /nothing but spaces/],
      ['that is the text undefined', `${undefined}`, /the text 'undefined'.*not set/],
      ['that is the text null', `${null}`, /the text 'null'/],
      ['that is the text of an object', `${{}}`, /the text '\[object Object\]'/],
      ['that is the text of a promise', String(Promise.resolve()), /the text '\[object Promise\]'/],
      ['with its scheme', 'Bearer sk-abc', /begins with 'Bearer '/],
      ['with its scheme in small letters', 'bearer sk-abc', /begins with 'bearer '/],
      ['with another scheme', 'Token sk-abc', /begins with 'Token '/],
      ['with a space in it', 'sk abc', /a space in it/],
    ] as const
  ).map(([what, value, received]): (typeof bad)[number] => [
    `a key ${what}`,
    { ...GOOD, keys: ['k', { value }] },
    'keys[1].value',
    /key/,
    received,
  ]),
  [
    'a key that has the scheme of a format',
    { ...GOOD, auth: { header: 'x-auth', format: 'DeepL-Auth-Key {key}' }, keys: ['DeepL-Auth-Key abc'] },
    'keys[0].value',
    /key alone/,
    /begins with 'DeepL-Auth-Key' already/,
  ],
  [
    'a scheme in a query',
    { ...GOOD, auth: { query: 'key' }, keys: ['Bearer abc'] },
    'keys[0].value',
    /alone/,
    /'Bearer '/,
  ],
  ['a replay that is none', { ...GOOD, replay: 5 }, 'replay', /maxBytes/, /5/],
  ['a replay of less than nothing', { ...GOOD, replay: { maxBytes: -1 } }, 'replay.maxBytes', /from 0/, /-1/],
  ['a weight of 0', { ...GOOD, keys: [{ value: 'a', weight: 0 }] }, 'keys[0].weight', /above 0/, /0/],
  [
    'a priority that is none',
    { ...GOOD, keys: [{ value: 'a', priority: 'high' }] },
    'keys[0].priority',
    /number/,
    /a string/,
  ],
  [
    'an invalid Date',
    { ...GOOD, keys: [{ value: 'a', expiresAt: new Date('never') }] },
    'keys[0].expiresAt',
    /Date/,
    /invalid Date/,
  ],
  ['a baseUrl that is none', { ...GOOD, keys: [{ value: 'a', baseUrl: 'eu' }] }, 'keys[0].baseUrl', /URL/, /a string/],
  [
    'a baseUrl with any origin',
    { ...GOOD, origins: '*', keys: [{ value: 'a', baseUrl: 'https://a.b' }] },
    'keys[0].baseUrl',
    /listed/,
    /\*/,
  ],
  ['an origin with a path', { ...GOOD, origins: 'https://api.example.com/v1' }, 'origins', /without path/, /v1/],
  [
    'an origin among others with a path',
    { ...GOOD, origins: ['https://a.b', 'https://a.b/c'] },
    'origins[1]',
    /without path/,
    /'https:\/\/a.b\/c'/,
  ],
  ['an origin without a scheme', { ...GOOD, origins: 'api.example.com' }, 'origins', /http/, /'api.example.com'/],
  ['an origin of files', { ...GOOD, origins: 'file:///tmp' }, 'origins', /http/, /file/],
  ['no origin in the list', { ...GOOD, origins: [] }, 'origins', /origin/, /empty array/],
  ['a header name with a newline', { ...GOOD, auth: { header: 'x-key\n' } }, 'auth.header', /header name/, /x-key/],
  [
    'a format without a key',
    { ...GOOD, auth: { header: 'x-key', format: 'Token' } },
    'auth.format',
    /\{key\}/,
    /'Token'/,
  ],
  ['an unknown auth', { ...GOOD, auth: 'basic' }, 'auth', /'bearer'/, /'basic'/],
  ['an empty query name', { ...GOOD, auth: { query: '' } }, 'auth.query', /name/, /empty/],
  ['an unknown strategy', { ...GOOD, strategy: 'best' }, 'strategy', /'least-loaded'/, /'best'/],
  ['a limit of 0', { ...GOOD, limits: { requests: 0, per: '1s' } }, 'limits.requests', /above 0/, /0/],
  [
    'a limit of NaN',
    { ...GOOD, limits: [{ requests: Number.NaN, per: '1s' }] },
    'limits[0].requests',
    /whole number above 0/,
    /NaN/,
  ],
  ['half a request', { ...GOOD, limits: { requests: 0.5, per: '1s' } }, 'limits.requests', /whole number/, /0.5/],
  ['parsecs', { ...GOOD, limits: { requests: 1, per: '5 parsecs' } }, 'limits.per', /'250ms'/, /'5 parsecs'/],
  ['a window of 0', { ...GOOD, limits: { requests: 1, per: 0 } }, 'limits.per', /at least 1ms/, /0/],
  ['requests without per', { ...GOOD, limits: { requests: 1 } }, 'limits', /'per'/, /an object/],
  ['per without requests', { ...GOOD, limits: { per: '1s' } }, 'limits', /requests/, /an object/],
  ['an empty limit', { ...GOOD, limits: [{}] }, 'limits[0]', /requests, tokens or concurrency/, /an object/],
  [
    'a time zone of nowhere',
    { ...GOOD, limits: { requests: 1, per: 'day', timeZone: 'Mars/Base' } },
    'limits.timeZone',
    /IANA/,
    /Mars/,
  ],
  [
    'a time zone for a sliding window',
    { ...GOOD, limits: { requests: 1, per: '1d', timeZone: 'UTC' } },
    'limits',
    /'day' or 'month'/,
    /an object/,
  ],
  [
    'a burst of a calendar day',
    { ...GOOD, limits: { requests: 1, per: 'day', burst: 2 } },
    'limits',
    /burst/,
    /an object/,
  ],
  ['a concurrency of -1', { ...GOOD, limits: { concurrency: -1 } }, 'limits.concurrency', /above 0/, /-1/],
  [
    'a key’s own bad limit',
    { ...GOOD, keys: [{ value: 'a', limits: { requests: -1, per: '1s' } }] },
    'keys[0].limits.requests',
    /above 0/,
    /-1/,
  ],
  [
    'a group with two limits',
    {
      ...GOOD,
      keys: [
        { value: 'a', group: 'g' },
        { value: 'b', group: 'g', limits: { concurrency: 1 } },
      ],
    },
    'keys[1].limits',
    /group 'g'/,
    /other/,
  ],
  ['retries of -1', { ...GOOD, retry: -1 }, 'retry', /from 0/, /-1/],
  ['retry: true', { ...GOOD, retry: true }, 'retry', /retries/, /true/],
  ['a factor below 1', { ...GOOD, retry: { factor: 0 } }, 'retry.factor', /from 1/, /0/],
  ['an unknown cache method', { ...GOOD, cache: { methods: ['PUT'] } }, 'cache.methods[0]', /'GET'/, /'PUT'/],
  ['a store that is none', { ...GOOD, cache: { store: {} } }, 'cache.store', /get, set and delete/, /object/],
  ['a negative ttl', { ...GOOD, cache: { ttl: -1 } }, 'cache.ttl', /duration/, /-1/],
  ['an infinite maxWait', { ...GOOD, maxWait: Number.POSITIVE_INFINITY }, 'maxWait', /duration/, /Infinity/],
  ['a timeout of 0', { ...GOOD, timeout: { attempt: 0 } }, 'timeout.attempt', /above 0/, /0/],
  ['an unknown onExhausted', { ...GOOD, onExhausted: 'wait' }, 'onExhausted', /'throw' or 'respond'/, /'wait'/],
  ['a misspelt option', { ...GOOD, limit: { requests: 1, per: '1s' } }, 'limit', /no option of this name/, /an object/],
  [
    'a misspelt part of an option',
    { ...GOOD, limits: { request: 1, per: '1s' } },
    'limits.request',
    /no option of this name/,
    /1/,
  ],
]

describe('a bad option', () => {
  it.each(bad)('%s: is named, with what was expected and what came', (_, options, option, expected, received) => {
    const error = refusal(options)
    expect(KeypoolError.is(error, 'ERR_INVALID_OPTION')).toBe(true)
    if (!KeypoolError.is(error, 'ERR_INVALID_OPTION')) return
    expect(error.option).toBe(option)
    expect(error.expected).toMatch(expected)
    expect(error.received).toMatch(received)
    expect(error.message).toBe(`Option '${error.option}': expected ${error.expected}, got ${error.received}.`)
  })

  it('in a key that is added later loses nothing', () => {
    const { pool } = wrapFetch(globalThis.fetch, GOOD)
    expect(() => pool.add({ value: 'b', weight: -1 })).toThrow(expect.objectContaining({ option: 'key.weight' }))
    expect(() => pool.add('k')).toThrow(expect.objectContaining({ option: 'key.value' }))
    expect(() => pool.add({ value: 'b', id: 'key-1' })).toThrow(expect.objectContaining({ option: 'key.id' }))
    expect(pool.keys()).toMatchObject([{ id: 'key-1', state: 'ready' }])
  })

  it('is told where the options are given, also for keys of a function that has them at hand', () => {
    expect(refusal({ ...GOOD, keys: () => ['a', ''] })).toMatchObject({ option: 'keys[1].value' })
  })

  it('of fetch itself is told too', () => {
    expect(() => wrapFetch(undefined as never, GOOD)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_OPTION', option: 'fetch', received: 'undefined' }),
    )
  })
})

describe('good options', () => {
  it.each<Options>([
    { origins: '*', keys: ['k'] },
    {
      origins: ['https://a.example', 'http://localhost:8080/'],
      keys: [{ value: 'k', expiresAt: new Date(), tags: ['x'] }],
    },
    {
      ...GOOD,
      limits: [
        { requests: 1, per: 'month', timeZone: 'Asia/Tokyo' },
        { concurrency: 1 },
        { tokens: 5, per: '1m', burst: 2, cost: () => 1 },
      ],
    },
    {
      ...GOOD,
      retry: false,
      cache: false,
      maxWait: 0,
      timeout: '5s',
      onExhausted: 'respond',
      strategy: usable => usable[0]!.id,
    },
    { ...GOOD, retry: { retries: 0 }, auth: request => request, keys: async () => ['k'] },
  ])('%# are taken', options => {
    expect(refusal(options)).toBeUndefined()
  })
})

describe('errors', () => {
  it('are recognised across copies of the package, by their mark', () => {
    const foreign = Object.assign(new Error('from another copy'), {
      [Symbol.for('fetch-keypool.error')]: true,
      code: 'ERR_CLOSED',
    })
    expect(KeypoolError.is(foreign)).toBe(true)
    expect(KeypoolError.is(foreign, 'ERR_CLOSED')).toBe(true)
    expect(KeypoolError.is(foreign, 'ERR_TIMEOUT')).toBe(false)
    expect(KeypoolError.is(new Error('any'))).toBe(false)
    expect(KeypoolError.is(null)).toBe(false)
  })
})
