const UNITS: Readonly<Record<string, number>> = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 }

/** Bytes of a number, or of such as `'64kb'`, `'10mb'`; `undefined` for what is neither. */
export function parseBytes(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : undefined
  const parts = typeof value === 'string' ? /^(\d+(?:\.\d+)?)\s*(b|kb|mb|gb)$/i.exec(value.trim()) : null
  return parts ? Math.floor(Number(parts[1]) * UNITS[parts[2]!.toLowerCase()]!) : undefined
}
