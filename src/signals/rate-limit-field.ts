import { type BareItem, parseDictionary, parseList } from 'structured-headers'

/** What a `RateLimit` field says of one policy. */
export interface PolicyState {
  readonly name: string | undefined
  readonly limit: number | undefined
  readonly remaining: number | undefined
  /** Seconds until more is available. */
  readonly reset: number | undefined
}

/** What a `RateLimit-Policy` field says of one. */
export interface Policy {
  readonly name: string | undefined
  readonly quota: number | undefined
  /** In milliseconds. */
  readonly window: number | undefined
  /** What is counted, where it is not requests. */
  readonly unit: string | undefined
}

/**
 * Reads a `RateLimit` field of the IETF drafts (draft-ietf-httpapi-ratelimit-headers): the list of policies with `r` and
 * `t` of draft 08 and later, or the one dictionary with `limit`, `remaining` and `reset` of drafts 05 to 07. Malformed
 * fields are ignored, as the drafts demand.
 */
export function parseRateLimitField(field: string): PolicyState[] {
  return parsePolicyStates(field) ?? parseSinglePolicy(field) ?? []
}

/**
 * Reads a `RateLimit-Policy` field: `"burst";q=100;w=60` of draft 08 and later, `100;w=60` of those before. Members that
 * are malformed are passed over, as one service puts a bare string where a parameter belongs.
 */
export function parsePolicyField(field: string): Policy[] {
  const whole = tryList(field)
  const members = whole ?? field.split(',').flatMap(part => tryList(part.replace(/^\s*"[^"]*"\s*;\s*(?=")/, '')) ?? [])
  return members.map(([item, parameters]) => {
    const window = count(parameters.get('w'))
    const unit = parameters.get('qu')
    return {
      name: typeof item === 'number' ? undefined : textOf(item),
      quota: count(typeof item === 'number' ? item : parameters.get('q')),
      window: window === undefined || window === 0 ? undefined : window * 1000,
      unit: unit === undefined ? undefined : textOf(unit),
    }
  })
}

function parsePolicyStates(field: string): PolicyState[] | undefined {
  return tryList(field)?.map(([item, parameters]) => ({
    name: textOf(item),
    limit: undefined,
    remaining: count(parameters.get('r')),
    reset: count(parameters.get('t')),
  }))
}

function parseSinglePolicy(field: string): PolicyState[] | undefined {
  try {
    const members = parseDictionary(field)
    const read = (name: string) => count(members.get(name)?.[0])
    return [{ name: undefined, limit: read('limit'), remaining: read('remaining'), reset: read('reset') }]
  } catch {
    // Neither form: to be ignored.
    return undefined
  }
}

function tryList(field: string) {
  try {
    return parseList(field)
  } catch {
    // Not a list: the older form, or nonsense.
    return undefined
  }
}

function textOf(item: unknown): string | undefined {
  return typeof item === 'string'
    ? item
    : item === undefined || Array.isArray(item)
      ? undefined
      : String(item as BareItem)
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined
}
