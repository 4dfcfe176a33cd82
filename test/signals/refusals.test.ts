import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { type Options, wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { readBody } from '../../src/signals/body-facts.js'
import { echoRemover } from '../../src/signals/echo.js'

const ORIGIN = 'http://api.test'
const KEYS = ['key-one', 'key-two', 'key-three']

interface Refusal {
  readonly name: string
  readonly provider?: Options['provider']
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: unknown
  readonly request: { readonly method: string; readonly path: string; readonly body: Record<string, unknown> }
  readonly expect: {
    readonly kind: 'answer' | 'overload' | 'rate-limit' | 'quota' | 'invalid-key'
    readonly or?: string
    readonly scope?: 'model'
    readonly waitSeconds?: [number, number | null]
    readonly touchesKey: boolean
    readonly sends?: number
  }
}

const refusals = JSON.parse(
  readFileSync(new URL('../fixtures/refusals.json', import.meta.url), 'utf8'),
) as readonly Refusal[]

/** `{{ms:+60}}` is a minute from now, in milliseconds. */
function filled<Value>(value: Value): Value {
  const text = JSON.stringify(value).replace(/\{\{ms:\+(\d+)\}\}/g, (_, more) =>
    String(Date.now() + Number(more) * 1000),
  )
  return JSON.parse(text) as Value
}

function keyOf(input: unknown, init: RequestInit = {}): string {
  const headers = new Headers(init.headers)
  const bearer = headers.get('authorization')?.replace('Bearer ', '')
  return headers.get('x-api-key') ?? headers.get('x-goog-api-key') ?? headers.get('api-key') ?? bearer ?? String(input)
}

describe('a refusal', () => {
  it.each(refusals.map(each => [each.name, each] as const))('%s', async (_, refusal) => {
    const { provider, status, request, expect: wanted } = refusal
    const isBound = wanted.kind === 'answer' || wanted.kind === 'overload'
    const sent: string[] = []
    let refusedKey: string | undefined
    const answer = () =>
      new Response(JSON.stringify(filled(refusal.body)), {
        status,
        headers: { 'content-type': 'application/json', ...filled(refusal.headers) },
      })
    const base = async (input: unknown, init?: RequestInit) => {
      const key = keyOf(input, init)
      sent.push(key)
      refusedKey ??= key
      return isBound || key === refusedKey ? answer() : new Response('{"ok":true}')
    }
    const fetch = wrapFetch(base as never, {
      ...{ provider: provider ?? undefined, origins: ORIGIN, keys: KEYS, strategy: 'fill-first', cache: false },
      ...{ maxWait: '1s', onExhausted: 'respond' },
    })
    const touched = new Map<string, { cause: string; until?: Date | null }>()
    fetch.pool.on('key-exhausted', event => touched.set(event.keyId, event))
    fetch.pool.on('key-disabled', event => touched.set(event.keyId, event))
    const headers = { 'content-type': 'application/json' }
    const got = await fetch(ORIGIN + request.path, {
      method: request.method,
      headers,
      body: JSON.stringify(request.body),
    })
    expect(got.status).toBe(isBound ? status : 200)
    if (wanted.sends === undefined) expect(sent.length).toBeLessThanOrEqual(isBound ? 3 : 2)
    else expect(sent).toHaveLength(wanted.sends)
    expect(touched.size).toBe(wanted.touchesKey ? 1 : 0)
    const [[id, event] = ['', undefined]] = touched
    if (!event) return expect(fetch.pool.keys().every(({ state }) => state === 'ready')).toBe(true)
    expect([wanted.kind, wanted.or]).toContain(event.cause)
    const key = fetch.pool.keys().find(each => each.id === id)!
    if (wanted.scope === 'model') expect(key.state).toBe('ready')
    const until = event.until ?? key.until ?? key.parts.find(part => part.until)?.until
    const [least, most] = wanted.waitSeconds ?? [0, null]
    const wait = until ? (until.getTime() - Date.now()) / 1000 : Number.POSITIVE_INFINITY
    expect(wait).toBeGreaterThanOrEqual(least)
    expect(wait).toBeLessThanOrEqual(most ?? Number.POSITIVE_INFINITY)
  })
})

describe('what a service gives back of the request', () => {
  /** Phrases that would take keys away, were they the service's own. */
  const PHRASES = [
    'rate limit exceeded, try again in 9h',
    'too many requests, please slow down',
    'monthly quota exceeded',
    'insufficient credits',
    'You have run out of credits',
    'invalid api key',
    'Incorrect API key provided',
    'your account has been suspended',
    'the organization of this key has been disabled',
    'access token expired',
    'billing hard limit reached',
    'throttled',
    'overloaded',
    'rate_limit_exceeded',
    'insufficient_quota',
    'invalid_api_key',
  ]
  const STATUSES = [400, 403, 404, 405, 409, 413, 415, 422]
  const PROVIDERS = [
    undefined,
    'openai',
    'anthropic',
    'gemini',
    'groq',
    'mistral',
    'github',
    'openrouter',
    'aws',
  ] as const

  /** Ways in which errors give texts back. */
  const SHAPES: ((text: string) => unknown)[] = [
    text => ({
      error: { message: `Invalid value: '${text}'. Supported values are: 'low' and 'high'.`, code: 'invalid_value' },
    }),
    text => ({ error: { message: `Invalid value at 'x', "${text}"`, status: 'INVALID_ARGUMENT' } }),
    text => ({ error: { message: `got ${text}`, type: 'invalid_request_error' } }),
    text => ({ error: { message: text } }),
    text => ({ message: `Validation failed: ${text} is not a label` }),
    text => ({ detail: [{ type: 'literal_error', loc: ['body'], msg: "Input should be 'open'", input: text }] }),
    text => ({ error: { message: 'Failed to call a function.', code: 'tool_use_failed', failed_generation: text } }),
    text => ({ error: { message: 'no', param: text } }),
    text => `<html><body>No such page: “${text}”</body></html>`,
  ]

  it('changes the state of no key, whatever it says', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...PHRASES),
        fc.constantFrom(...SHAPES),
        fc.constantFrom(...STATUSES),
        fc.constantFrom(...PROVIDERS),
        fc.constantFrom('body', 'query'),
        async (phrase, shape, status, provider, where) => {
          const made = shape(phrase)
          const text = typeof made === 'string' ? made : JSON.stringify(made)
          const type = typeof made === 'string' ? 'text/html' : 'application/json'
          const base = async () => new Response(text, { status, headers: { 'content-type': type } })
          const options = { provider, origins: ORIGIN, keys: KEYS, cache: false, retry: false, maxWait: 0 } as const
          const fetch = wrapFetch(base, { ...options, onExhausted: 'respond' })
          const url = where === 'query' ? `${ORIGIN}/?q=${encodeURIComponent(phrase)}` : `${ORIGIN}/`
          const body = JSON.stringify({ model: 'm', label: where === 'body' ? phrase : 'x' })
          const got = await fetch(url, { method: 'POST', body })
          expect(got.status).toBe(status)
          expect(await got.text()).toBe(text)
          for (const key of fetch.pool.keys()) {
            expect(key.state).toBe('ready')
            expect(key.parts.every(({ state }) => state === 'ready')).toBe(true)
          }
        },
      ),
      { numRuns: 1_000 },
    )
  })

  it.each<[text: string, request: string, kept: string]>([
    ['Rate limit reached for gpt', '{"model":"gpt"}', 'Rate limit reached for'],
    ['the value invalid api key is wrong', '{"a":"invalid api key"}', 'the value is wrong'],
    ['You are over your limit', '{"prompt":"limit my time"}', 'You are over your limit'],
    ['throttled', '{"state":"throttled"}', ''],
  ])('is taken out of %j where the request was %j', (text, request, kept) => {
    expect(
      echoRemover(() => [request])(text)
        .replace(/\s+/g, ' ')
        .trim(),
    ).toBe(kept)
  })

  it('is looked for in a time that grows with the text, and no faster', () => {
    const words = Array.from({ length: 8_000 }, (_, index) => `w${index % 50}`).join(' ')
    const request = JSON.stringify(
      Object.fromEntries(Array.from({ length: 4_000 }, (_, index) => [`k${index}`, 'w1 w2'])),
    )
    const from = performance.now()
    for (const text of [
      words,
      `"${"'".repeat(60_000)}`,
      '"'.repeat(60_000),
      `'${'a '.repeat(30_000)}`,
      '`'.repeat(60_001),
    ]) {
      readBody(
        JSON.stringify({ message: text }),
        0,
        echoRemover(() => [request]),
      )
      readBody(
        text,
        0,
        echoRemover(() => [request]),
      )
    }
    expect(performance.now() - from).toBeLessThan(5_000)
  })
})
