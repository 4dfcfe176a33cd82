/** A length of time: milliseconds as a number, or a number with its unit: `'250ms'`, `'1s'`, `'5m'`, `'1h'`, `'1d'`. */
export type Duration = number | string

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of a duration; `undefined` where it is none (negative, not finite, an unknown unit). */
export function parseDuration(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value : undefined
  if (typeof value !== 'string') return undefined
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(value.trim())
  return match ? Number(match[1]) * UNITS[match[2]!]! : undefined
}

/** A duration for people: `'1.5s'`, `'2m'`, `'3h'`. */
export function formatDuration(milliseconds: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const size = UNITS[unit]!
    if (milliseconds >= size) return `${Number((milliseconds / size).toFixed(1))}${unit}`
  }
  return `${Math.round(milliseconds)}ms`
}
