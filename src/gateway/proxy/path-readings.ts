/** So many times a path may be encoded within itself. */
const MOST_ENCODINGS = 4
/** What no path has, and where some servers end it. */
const CONTROL = /\p{Cc}/u
const STEP = /^\s*\.\.?\s*$/
/** Letters in more bytes than they need, which some servers take (`%c0%ae` for a point), and encodings of IIS. */
const OVERLONG = /%c[01]|%e0%[89]|%f0%8|%u[\da-f]{4}/i

/**
 * All paths that a service may take a path for: as it is sent, decoded (as often as it can be), without parameters
 * (`/a;x=1/b`), with backslashes as slashes, and with slashes that stand side by side as one. A list of what is allowed must
 * fit each of them.
 *
 * @returns `undefined` for a path that some take for a step up, or can't be told: it is not to be sent
 */
export function pathReadings(path: string): readonly string[] | undefined {
  const readings = new Set<string>()
  let current = path
  for (let times = 0; ; times++) {
    if (CONTROL.test(current) || OVERLONG.test(current)) return undefined
    const slashes = current.replaceAll('\\', '/')
    const segments = slashes.split('/').map(withoutParameters)
    if (segments.some(isStep)) return undefined
    readings.add(current)
    if (slashes !== current) readings.add(slashes)
    const bare = segments.join('/')
    readings.add(bare)
    if (bare.includes('//')) readings.add(`/${segments.filter(Boolean).join('/')}`)
    const next = decoded(current)
    if (next === undefined || next === current) return [...readings]
    if (times === MOST_ENCODINGS) return undefined
    current = next
  }
}

function withoutParameters(segment: string): string {
  const semicolon = segment.indexOf(';')
  return semicolon < 0 ? segment : segment.slice(0, semicolon)
}

/** Also with blanks around it, and in wide letters. */
function isStep(segment: string): boolean {
  const parts = segment.normalize('NFKC').split('/')
  return parts.some(part => STEP.test(part))
}

/** Decoded once; `undefined` where it is no encoding. */
function decoded(path: string): string | undefined {
  if (!path.includes('%')) return path
  try {
    return decodeURIComponent(path)
  } catch {
    // A percent sign that stands for itself, as it was decoded before.
    return undefined
  }
}
