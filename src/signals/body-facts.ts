import { EPOCH_SECONDS, parseMilliseconds, parseWhen } from './when.js'

/** What can be told by of a body: its text, and where it is JSON (or an event stream of it) its codes and hints. */
export interface BodyFacts {
  /** The beginning of the body, as far as it was read, without what it quotes of the request or of a model's output. */
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

/**
 * Fields in which errors give back what was asked for, or what a model has written: nothing in them is the service's own
 * word.
 */
const ECHO_FIELDS: ReadonlySet<string> = new Set(
  `failedgeneration input inputs param value values received given actual ctx loc request
  requestbody prompt prompts messages content contents arguments args completion output outputs text delta choices example
  examples rejectedvalue instancepath`.split(/\s+/),
)

/** How deep, and at how many members of a list, a body is looked into. */
const DEPTH = 10
const BREADTH = 20
const LONGEST_CODE = 120

/**
 * Reads what can be told by from the beginning of a body.
 *
 * @param echoes - takes out of a text what also stands in the request
 */
export function readBody(text: string, serverNow: number, echoes: (text: string) => string = same): BodyFacts {
  if (text === '') return NO_BODY
  const json = parseJson(text)
  const codes = new Set<string>()
  const waits: number[] = []
  if (json !== undefined) walk(json, '', 0)
  else for (const [, code] of text.matchAll(/<(?:Code|code|error|reason)>([^<>]{1,120})</g)) addCode(code!)
  return {
    text: json === undefined ? ownWordsOfText(text, echoes) : JSON.stringify(ownWords(json, 0)),
    json,
    codes: [...codes],
    waits,
  }

  /** A JSON value without the fields and the quotations that give back what the service was sent. */
  function ownWords(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return echoes(withoutQuotes(value))
    if (typeof value !== 'object' || value === null) return value
    if (depth > DEPTH) return null
    if (Array.isArray(value)) return value.slice(0, BREADTH).map(each => ownWords(each, depth + 1))
    const own = Object.entries(value).filter(([name]) => !ECHO_FIELDS.has(plain(name)))
    return Object.fromEntries(own.map(([name, each]) => [name, ownWords(each, depth + 1)]))
  }

  function walk(value: unknown, field: string, depth: number): void {
    if (depth > DEPTH) return
    if (Array.isArray(value)) {
      for (const each of value.slice(0, BREADTH)) walk(each, field, depth + 1)
    } else if (typeof value === 'object' && value !== null) {
      for (const [name, each] of Object.entries(value)) {
        const inner = plain(name)
        if (!ECHO_FIELDS.has(inner)) walk(each, inner, depth + 1)
      }
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

/** JSON that was cut off has nothing but quotes in it. */
function ownWordsOfText(text: string, echoes: (text: string) => string): string {
  return echoes(/^\s*[[{]|^(?:event|data|:)/.test(text) ? text : withoutQuotes(text))
}

/**
 * A text without what stands in quotes in it: a service quotes what it was sent. An apostrophe within or behind a word is
 * none.
 */
function withoutQuotes(text: string): string {
  return text.replace(QUOTED, ' ')
}

const QUOTED = /(?<![\w])(?:'[^'\n]*'|"[^"\n]*"|`[^`\n]*`|“[^“”\n]*”|‘[^‘’\n]*’|«[^«»\n]*»)(?![\w])/g

function same(text: string): string {
  return text
}

function isMoment(value: string): boolean {
  return Number(value) >= EPOCH_SECONDS
}

function plain(name: string): string {
  return name.startsWith('__') ? name : name.toLowerCase().replace(/[^a-z0-9]/g, '')
}

/** Where an event stream begins with an event of data, perhaps after comments and the event's name. */
const FIRST_EVENT = /^(?:(?:event|id|retry):[^\n]*\n|:[^\n]*\n|\s)*data:/

/** The error that a body names outright at its top, as services do that have begun to answer with 200. */
export function outrightError(text: string): Record<string, unknown> | undefined {
  const json = parseJson(text)
  const whole = (Array.isArray(json) ? json[0] : json) as Record<string, unknown> | null | undefined
  const error = whole?.error
  if (typeof error === 'object' && error !== null) return error as Record<string, unknown>
  return whole?.type === 'error' ? whole : undefined
}

/** Whether the beginning of an event stream has its first event, comments apart (HTML standard, section 9.2.6). */
export function hasWholeEvent(text: string): boolean {
  const blocks = text.replace(/\r\n?/g, '\n').split('\n\n')
  return blocks.slice(0, -1).some(block => /^data(?::|$)/m.test(block))
}

function parseJson(text: string): unknown {
  const start = text.trimStart()
  const source = FIRST_EVENT.test(start) ? (/^data: ?(.*)$/m.exec(start)?.[1] ?? '') : start
  if (!/^[[{]/.test(source)) return undefined
  try {
    return JSON.parse(source)
  } catch {
    // Cut off, or no JSON after all: its text has to do.
    return undefined
  }
}
