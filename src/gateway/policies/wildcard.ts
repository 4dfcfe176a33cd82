/**
 * A test for texts that fit one of some patterns, in which `*` stands for anything.
 *
 * A regular expression would go back over the text for each star; this takes the first place where the next piece stands,
 * which is as good as any later one, so that the time grows with the text alone.
 */
export function anyOf(patterns: readonly string[]): (text: string) => boolean {
  const all = patterns.map(wildcard)
  return text => all.some(fits => fits(text))
}

function wildcard(pattern: string): (text: string) => boolean {
  const [first = '', ...rest] = pattern.split('*')
  if (rest.length === 0) return text => text === pattern
  const last = rest.pop()!
  return text => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false
    const end = text.length - last.length
    let at = first.length
    for (const piece of rest) {
      const found = text.indexOf(piece, at)
      if (found < 0) return false
      at = found + piece.length
    }
    return at <= end
  }
}
