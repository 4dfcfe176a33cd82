const LONGEST = 60
/** A shorter one is part of too many words to be told by; no real key is so short. */
export const SHORTEST_SECRET = 6

/** Says what a value is without quoting it: for places where a key may stand, by right or by mistake. */
export function describeKind(value: unknown): string {
  return typeof value === 'string' && value !== '' ? 'a string' : describe(value)
}

/** Says what a value is, in a few words for an error message; a string that holds one of the `secrets` is never quoted. */
export function describe(value: unknown, secrets: readonly string[] = []): string {
  switch (typeof value) {
    case 'string':
      if (value === '') return 'an empty string'
      if (
        secrets.some(secret => secret.length >= SHORTEST_SECRET && (value.includes(secret) || secret.includes(value)))
      ) {
        return 'a string (not shown: it holds a key)'
      }
      return value.length > LONGEST ? `'${value.slice(0, LONGEST)}…'` : `'${value}'`
    case 'number':
    case 'boolean':
    case 'undefined':
      return String(value)
    case 'bigint':
      return `${value}n`
    case 'function':
      return 'a function'
    case 'symbol':
      return 'a symbol'
    case 'object':
      if (value === null) return 'null'
      if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : 'an array'
      if (Object.prototype.toString.call(value) === '[object Date]')
        return Number.isNaN(Number(value)) ? 'an invalid Date' : 'a Date'
      return 'an object'
  }
}
