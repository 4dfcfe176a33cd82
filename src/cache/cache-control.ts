/** Directives by their lower-case name; `true` for one without an argument. */
export type CacheControl = Readonly<Record<string, string | true>>

/** Reads a `Cache-Control` field (RFC 9111 section 5.2); of a directive that is there twice, the first counts (section 4.2.1). */
export function parseCacheControl(field: string | null): CacheControl {
  const directives: Record<string, string | true> = Object.create(null)
  if (!field) return directives
  for (const [, name, quoted, plain] of field.matchAll(
    /([^\s,=;"]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]*)))?/g,
  )) {
    directives[name!.toLowerCase()] ??= quoted ?? plain ?? true
  }
  return directives
}

/** The seconds of a directive, in milliseconds; `undefined` where it is absent or no whole number. */
export function millisecondsOf(control: CacheControl, directive: string): number | undefined {
  const value = control[directive]
  return typeof value === 'string' && /^\d+$/.test(value) ? Math.min(Number(value), 2 ** 31) * 1000 : undefined
}
