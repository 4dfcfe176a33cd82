/** The first and the last byte of a range, counted from 0. */
export interface ByteRange {
  readonly first: number
  readonly last: number
}

/** The one range of bytes that a `Range` field asks for of so many (RFC 9110 section 14.1.2); `undefined`: several, none of them there, or nonsense. */
export function parseRange(field: string, length: number): ByteRange | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/i.exec(field.replace(/\s+/g, ''))
  if (!match || length === 0) return undefined
  const [, from, to] = match as unknown as [string, string, string]
  if (from === '') {
    const last = Number(to)
    return to === '' || last === 0 ? undefined : { first: Math.max(0, length - last), last: length - 1 }
  }
  const first = Number(from)
  const last = to === '' ? length - 1 : Math.min(Number(to), length - 1)
  return first > last || first >= length ? undefined : { first, last }
}
