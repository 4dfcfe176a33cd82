import { describe, describeKind } from '../describe.js'
import { InvalidOptionError } from '../errors.js'
import * as v from './valibot.js'

/** No option has a longer name, and no way of authentication: longer words may be keys in a wrong place. */
const LONGEST_NAME = 24
const LONGEST_SCHEME = 12

/**
 * Checks a value against a schema.
 *
 * @param secrets - texts that no message may quote
 * @throws InvalidOptionError for the first thing that is wrong.
 */
export function check<Schema extends v.GenericSchema>(
  schema: Schema,
  value: unknown,
  at: string,
  secrets: readonly string[],
): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value, { abortEarly: true })
  if (result.success) return result.output
  const issue = result.issues[0]
  const option = pathOf(issue, at)
  // A key of an object that the schema does not know: say which, and what there is.
  if (issue.expected === 'never') {
    // The name itself may be a key that stands in a wrong place.
    const name = String(issue.path?.at(-1)?.key ?? '')
    const hidden = name.length > LONGEST_NAME || !/^[A-Za-z_]+$/.test(name) || secrets.includes(name)
    throw new InvalidOptionError(
      hidden ? `${option.slice(0, -name.length)}…` : option,
      'no option of this name (a typing error?)',
      describeKind(issue.path?.at(-1)?.value),
    )
  }
  // An option that must be there and is not: what was expected is its name, in quotes.
  if (issue.type === 'strict_object' && issue.expected?.startsWith('"')) {
    throw new InvalidOptionError(option, 'to be given', 'nothing')
  }
  // Whatever stands among the keys may be one, in the right place or in a wrong one.
  const long = typeof issue.input === 'string' && issue.input.length > LONGEST_SCHEME
  const quotable =
    !/\b(?:keys?|tokens?|hash|secret|value|redis|tls)\b/.test(option) &&
    !/^(?:alerts\b.*\.url|routes\.[^.]+)$/.test(option) &&
    !(option === 'auth' && long) &&
    !isUrlWithPassword(issue.input)
  const received = !quotable ? describeKind(issue.input) : describe(issue.input, secrets)
  throw new InvalidOptionError(option, issue.message, received)
}

function isUrlWithPassword(value: unknown): boolean {
  return typeof value === 'string' && value.includes('@')
}

function pathOf(issue: v.BaseIssue<unknown>, at: string): string {
  let path = at
  for (const { key: part } of issue.path ?? []) {
    path += typeof part === 'number' ? `[${part}]` : path === '' ? String(part) : `.${String(part)}`
  }
  return path === '' ? 'options' : path
}
