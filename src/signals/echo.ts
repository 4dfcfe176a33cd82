/** How much of a request is looked through, in characters, and how many of its values one by one. */
const MAX_REQUEST = 64 * 1024
const MAX_VALUES = 200
const MAX_VALUE = 200

/**
 * Takes out of an error's text what also stands in the request: a service that gives it back does not speak for itself.
 *
 * Two words in a row that stand so in the request are taken out, and so are its values, and a line that is all in it. A
 * single common word is left: "limit" in a prompt says nothing of "limit" in an error.
 *
 * @param request - the body, the path with the query, and the headers of the request, as far as they are text; called only when there is
 *   a text to look at
 */
export function echoRemover(request: () => readonly string[]): (text: string) => string {
  return text => {
    if (text.trim() === '') return text
    const sent = request().map(part => part.slice(0, MAX_REQUEST))
    const asked = sent.flatMap(wordsOf)
    if (asked.length === 0) return text
    const flat = ` ${asked.join(' ')} `
    const pairs = new Set<string>()
    for (let index = 1; index < asked.length; index++) pairs.add(`${asked[index - 1]} ${asked[index]}`)
    const values = valuesOf(sent)
    return text
      .split('\n')
      .map(line => withoutEchoes(line, flat, pairs, values))
      .join('\n')
  }
}

function withoutEchoes(line: string, flat: string, pairs: ReadonlySet<string>, values: readonly string[]): string {
  const found = [...line.matchAll(WORD)]
  const words = found.map(([word]) => word.toLowerCase())
  if (words.length === 0) return line
  if (flat.includes(` ${words.join(' ')} `)) return ''
  const isEcho = words.map(
    (word, index) => pairs.has(`${words[index - 1]} ${word}`) || pairs.has(`${word} ${words[index + 1]}`),
  )
  for (const value of values) mark(words, value.split(' '), isEcho)
  if (!isEcho.includes(true)) return line
  let kept = ''
  let from = 0
  found.forEach(({ index, 0: word }, at) => {
    if (!isEcho[at]) return
    kept += line.slice(from, index)
    from = index + word.length
  })
  return kept + line.slice(from)
}

/** Marks each place where a value's words stand. */
function mark(words: readonly string[], value: readonly string[], isEcho: boolean[]): void {
  for (let at = words.indexOf(value[0]!); at >= 0; at = words.indexOf(value[0]!, at + 1)) {
    if (value.every((word, offset) => words[at + offset] === word)) isEcho.fill(true, at, at + value.length)
  }
}

const WORD = /[\p{L}\p{N}]+/gu

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(WORD) ?? []
}

/** Short values of a request, which an error may give back one by one: of a JSON body, and of a query. */
function valuesOf(parts: readonly string[]): string[] {
  const values = new Set<string>()
  for (const part of parts) collect(parsed(part), values)
  return [...values]
}

function collect(value: unknown, values: Set<string>): void {
  if (values.size >= MAX_VALUES) return
  if (typeof value === 'object' && value !== null) {
    for (const each of Object.values(value)) collect(each, values)
  } else if (typeof value === 'string' && value.length <= MAX_VALUE) {
    const words = wordsOf(value)
    if (words.length > 0) values.add(words.join(' '))
  }
}

function parsed(part: string): unknown {
  try {
    return JSON.parse(part)
  } catch {
    // A query, a header, or no JSON at all.
    return part.split(/[?&;,=]/)
  }
}
