/** How real services tell of a limit, in header fields of a success and of a refusal. */
export type Dialect = 'retry-after' | 'retry-after-ms' | 'ietf' | 'openai' | 'github' | 'bare'

/** A key's quota after a request was counted, or refused. */
export interface QuotaState {
  readonly limit: number
  /** The window in milliseconds. */
  readonly per: number
  readonly remaining: number
  /** Milliseconds until the next request would pass. */
  readonly next: number
  /** Milliseconds until all of it is there again. */
  readonly full: number
}

type Fields = Record<string, string>

const seconds = (milliseconds: number) => String(Math.ceil(milliseconds / 1000))
const duration = (milliseconds: number) =>
  milliseconds >= 1000 ? `${Number((milliseconds / 1000).toFixed(3))}s` : `${Math.ceil(milliseconds)}ms`

/** The fields of every answer. */
export function fieldsOf(dialect: Dialect, { limit, per, remaining, full }: QuotaState): Fields {
  switch (dialect) {
    case 'ietf':
      return {
        'ratelimit-policy': `"default";q=${limit};w=${per / 1000}`,
        ratelimit: `"default";r=${remaining};t=${seconds(full)}`,
      }
    case 'openai':
      return {
        'x-ratelimit-limit-requests': String(limit),
        'x-ratelimit-remaining-requests': String(remaining),
        'x-ratelimit-reset-requests': duration(full),
      }
    case 'github':
      return {
        'x-ratelimit-limit': String(limit),
        'x-ratelimit-remaining': String(remaining),
        'x-ratelimit-used': String(limit - remaining),
        'x-ratelimit-reset': String(Math.round((Date.now() + full) / 1000)),
        'x-ratelimit-resource': 'core',
      }
    default:
      return {}
  }
}

/** What a refusal looks like. */
export function refusalOf(dialect: Dialect, state: QuotaState): { status: number; fields: Fields; body: object } {
  const body = { error: { code: 'rate_limited', message: 'Slow down.' } }
  switch (dialect) {
    case 'retry-after':
      return { status: 429, fields: { 'retry-after': seconds(state.next) }, body }
    case 'retry-after-ms': {
      const fields = { 'retry-after': seconds(state.next), 'retry-after-ms': String(Math.ceil(state.next)) }
      return { status: 429, fields, body }
    }
    case 'github':
      return {
        status: 403,
        fields: fieldsOf(dialect, state),
        body: { message: 'API rate limit exceeded for user ID 1.' },
      }
    case 'bare':
      return { status: 429, fields: {}, body }
    default:
      return { status: 429, fields: fieldsOf(dialect, state), body }
  }
}
