import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { classify, needsBody } from '../../src/signals/classify.js'
import type { Outcome } from '../../src/signals/outcome.js'
import type { Provider } from '../../src/signals/provider.js'
import { PROVIDERS } from '../../src/signals/providers/index.js'

interface Fixture {
  status: number
  headers: Record<string, string>
  body: unknown
  note: string
}
interface SignalFixture extends Fixture {
  kind: string
  scope: string
  /** Milliseconds, or a rule in words. */
  wait: number | string
  action: string
}
interface ProviderFixture {
  id: string
  signals: SignalFixture[]
  negatives: Fixture[]
}

const fixtures = JSON.parse(
  readFileSync(fileURLToPath(new URL('../fixtures/providers.json', import.meta.url)), 'utf8'),
) as ProviderFixture[]
const providers: Readonly<Record<string, Provider>> = PROVIDERS
const NOW = Date.UTC(2026, 8, 6, 12)

function read({ status, headers, body }: Fixture, provider: Provider | undefined): Outcome {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const isEmpty = status < 200 || status === 204
  const response = new Response(isEmpty ? null : text, { status, headers })
  return classify(response, needsBody(response, provider) ? text : '', provider, NOW)
}

/** What the pool does about an outcome, in the fixtures' words. */
function actionOf(outcome: Outcome): string {
  switch (outcome.kind) {
    case 'answer':
      return 'none'
    case 'trouble':
      return 'retry-same'
    case 'invalid-key':
      return 'drop-key'
    case 'refused':
      if (outcome.cause === 'quota') return 'park-key'
      switch (outcome.scope) {
        case 'key':
          return 'cool-key'
        case 'model':
          return 'cool-key-model'
        default:
          // The others of the account, or all that are sent from here, have nothing to gain from being tried.
          return 'cool-pool'
      }
  }
}

function kindOf(outcome: Outcome): string {
  if (outcome.kind === 'refused') return outcome.cause
  return outcome.kind === 'trouble' ? 'overload' : outcome.kind
}

/** What is to be expected, where the fixtures draw finer lines than the pool needs. */
function expected({ kind, action }: SignalFixture) {
  // A limit of everyone's is no key's: it is dealt with as an overload.
  if (kind === 'rate-limit' && action === 'retry-same') return { kind: 'overload', action }
  // Out of quota is parked, for however long.
  if (kind === 'quota') return { kind, action: 'park-key' }
  return { kind, action }
}

const all = fixtures.flatMap(({ id, signals }) =>
  signals.map(
    (signal, index) => [`${id} ${index}: ${signal.kind} ${signal.status}, ${signal.scope}`, id, signal] as const,
  ),
)

describe('every signal of every service', () => {
  it.each(all)('%s', (name, id, signal) => {
    const outcome = read(signal, providers[id])
    // Where no service is named, nothing is known of models.
    const action = id.startsWith('std-') ? actionOf(outcome).replace('-model', '') : actionOf(outcome)
    const wanted = expected(signal)
    if (id.startsWith('std-')) wanted.action = wanted.action.replace('-model', '')
    expect({ name, kind: kindOf(outcome), action }).toEqual({ name, ...wanted })
    if (typeof signal.wait === 'number') {
      expect({ name, wait: 'wait' in outcome ? outcome.wait : undefined }).toEqual({ name, wait: signal.wait })
    }
  })
})

describe('what looks like a signal and is none', () => {
  const negatives = fixtures.flatMap(({ id, negatives }) =>
    negatives.map(each => [`${id}: ${each.note}`, id, each] as const),
  )
  it.each(negatives)('%s', (_, id, negative) => {
    expect(read(negative, providers[id]).kind).toBe('answer')
  })
})

/** What only someone who knows the service can tell; read as what it looks like. */
const UNKNOWABLE: Readonly<Record<string, string>> = {
  'atlassian-jira 1': 'rate-limit', // an hour's points: only the value of a field of its own names it
  'binance 4': 'answer', // a page that says 403
  'aws 4': 'rate-limit', // "Limit Exceeded"
  'anthropic 2': 'answer', // a 400 whose type is that of a bad request
  'anthropic 3': 'answer', // the same
  'azure-openai 1': 'rate-limit', // a day's wait for a prompt that is larger than a minute's quota
}

describe('without a provider', () => {
  it.each(all.filter(([, , { status }]) => status >= 400))('%s', (name, _, signal) => {
    const outcome = read(signal, undefined)
    const [id] = name.split(':')
    expect({ name, kind: kindOf(outcome) }).toEqual({ name, kind: UNKNOWABLE[id!] ?? expected(signal).kind })
  })
  const negatives = fixtures.flatMap(({ id, negatives }) =>
    negatives.map(each => [`${id}: ${each.note}`, id, each] as const),
  )
  it.each(negatives)('%s', (_, __, negative) => {
    expect(read(negative, undefined).kind).toBe('answer')
  })
})

describe("the pool's own refusal", () => {
  /** The names of a value's members, however deep, with the way to them. */
  function membersOf(value: unknown, way = ''): string[] {
    if (typeof value !== 'object' || value === null) return []
    return Object.entries(value).flatMap(([name, member]) => {
      const here = Array.isArray(value) ? `${way}[]` : `${way}.${name}`
      return [here, ...membersOf(member, here)]
    })
  }
  const known = fixtures.filter(({ id }) => id in providers)

  it.each(known.map(each => [each.id, each] as const))(
    'has nothing in it that errors of %s do not have, and the message where they have it',
    (id, { signals }) => {
      const body = providers[id]!.errorShape!({
        message: 'no key is left',
        status: 429,
        type: 'rate_limit_error',
        retryAfter: 1,
      })
      const theirs = new Set(signals.flatMap(signal => membersOf(signal.body)))
      const own = membersOf(body)
      expect(own.length).toBeGreaterThan(0)
      for (const member of own) expect(theirs).toContain(member)
      // Slack's have codes only.
      if (id !== 'slack') expect(JSON.stringify(body)).toContain('no key is left')
    },
  )
})
