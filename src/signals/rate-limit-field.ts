import { parseDictionary, parseList } from 'structured-headers'

/** What a `RateLimit` field says of one policy. */
export interface PolicyState {
  readonly remaining: number | undefined
  /** Seconds until more is available. */
  readonly reset: number | undefined
}

/**
 * Reads a `RateLimit` field of the IETF drafts (draft-ietf-httpapi-ratelimit-headers): the list of policies with `r` and
 * `t` of draft 08 and later, or the one dictionary with `remaining` and `reset` of drafts 05 to 07. Malformed fields are
 * ignored, as the drafts demand.
 */
export function parseRateLimitField(field: string): PolicyState[] {
  return parsePolicies(field) ?? parseSinglePolicy(field) ?? []
}

function parsePolicies(field: string): PolicyState[] | undefined {
  try {
    return parseList(field).map(([, parameters]) => ({
      remaining: count(parameters.get('r')),
      reset: count(parameters.get('t')),
    }))
  } catch {
    // Not a list: the older form, perhaps.
    return undefined
  }
}

function parseSinglePolicy(field: string): PolicyState[] | undefined {
  try {
    const members = parseDictionary(field)
    return [{ remaining: count(members.get('remaining')?.[0]), reset: count(members.get('reset')?.[0]) }]
  } catch {
    // Neither form: to be ignored.
    return undefined
  }
}

function count(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined
}
