import { EPOCH_SECONDS, parseMilliseconds, parseWhen } from './when.js'

/** What can be told by of a body: its text, and where it is JSON (or an event stream of it) its codes and hints. */
export interface BodyFacts {
  /** The beginning of the body, as far as it was read. */
  readonly text: string
  /** The parsed body; of an event stream the first event; `undefined` where it is no JSON. */
  readonly json: unknown
  /** Short words and numbers from the fields that name an error: `code`, `type`, `status`, `reason`, … */
  readonly codes: readonly string[]
  /** What the fields that say when to come back say: `retry_after`, `retryDelay`, `resets_at`, … In milliseconds. */
  readonly waits: readonly number[]
}

export const NO_BODY: BodyFacts = { text: '', json: undefined, codes: [], waits: [] }

/** Fields that name an error, in lower case without separators. */
const CODE_FIELDS: ReadonlySet<string> = new Set(
  `code type status reason error errors errorcode errortype errorstatus errorname errorreason name title cod policyname
  providercode limitsource quotaid statuscode __type subtype errorsubcode exception exceptionname fault faultcode
  errcode errno ratelimitreason violatedpolicies category kind`.split(/\s+/),
)
/** Fields that say when to come back: a span or a moment, in seconds where it is a bare number. */
const WAIT_FIELDS: ReadonlySet<string> = new Set(
  `retryafter retryafterseconds retryafterinseconds retryaftersecs retryin retryinseconds retrydelay
  backoffseconds backoff estimatedtime resetsat resetat resettime resetsin resetin retryat waitseconds waittime
  secondsuntilreset availableat nextavailableat unblockat bannedsuntil`.split(/\s+/),
)
const MILLISECOND_FIELDS: ReadonlySet<string> = new Set(
  'retryafterms retryaftermilliseconds retryaftermillis retrydelayms backoffms waitms resetms resetinms'.split(' '),
)
/** Header fields that a body repeats. */
const HEADER_FIELDS: ReadonlySet<string> = new Set(['xratelimitreset', 'ratelimitreset', 'xratelimitresetafter'])

/** How deep, and at how many members of a list, a body is looked into. */
const DEPTH = 6
const BREADTH = 20
const LONGEST_CODE = 120

/** Reads what can be told by from the beginning of a body. */
export function readBody(text: string, serverNow: number): BodyFacts {
  if (text === '') return NO_BODY
  const json = parseJson(text)
  const codes = new Set<string>()
  const waits: number[] = []
  if (json !== undefined) walk(json, '', 0)
  else for (const [, code] of text.matchAll(/<(?:Code|code|error|reason)>([^<>]{1,120})</g)) addCode(code!)
  return { text, json, codes: [...codes], waits }

  function walk(value: unknown, field: string, depth: number): void {
    if (depth > DEPTH) return
    if (Array.isArray(value)) {
      for (const each of value.slice(0, BREADTH)) walk(each, field, depth + 1)
    } else if (typeof value === 'object' && value !== null) {
      for (const [name, each] of Object.entries(value)) walk(each, plain(name), depth + 1)
    } else if (typeof value === 'string' || typeof value === 'number') {
      if (CODE_FIELDS.has(field)) addCode(String(value))
      const wait = waitOf(field, String(value))
      if (wait !== undefined && wait > 0) waits.push(wait)
    }
  }

  function waitOf(field: string, value: string): number | undefined {
    // A moment is one whatever its field counts in; a bare `reset` is only known for one by that.
    if (MILLISECOND_FIELDS.has(field)) return isMoment(value) ? parseWhen(value, serverNow) : parseMilliseconds(value)
    const tells = WAIT_FIELDS.has(field) || HEADER_FIELDS.has(field) || (field === 'reset' && isMoment(value))
    return tells ? parseWhen(value, serverNow) : undefined
  }

  function addCode(code: string): void {
    if (code.length > LONGEST_CODE) return
    codes.add(code)
    // 'com.amazonaws…#ThrottlingException', 'https://…/problems/usage-capped', '(#err2)|Invalid API Key'
    const last = code.split(/[#/|]/).at(-1)!
    if (last !== code && last !== '') codes.add(last)
  }
}

function isMoment(value: string): boolean {
  return Number(value) >= EPOCH_SECONDS
}

function plain(name: string): string {
  return name.startsWith('__') ? name : name.toLowerCase().replace(/[^a-z0-9]/g, '')
}

function parseJson(text: string): unknown {
  const start = text.trimStart()
  const source = /^(?:event:[^\n]*\n|:[^\n]*\n|\s)*data:/.test(start)
    ? (/^data: ?(.*)$/m.exec(start)?.[1] ?? '')
    : start
  if (!/^[[{]/.test(source)) return undefined
  try {
    return JSON.parse(source)
  } catch {
    // Cut off, or no JSON after all: its text has to do.
    return undefined
  }
}
