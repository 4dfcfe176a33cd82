import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const src = fileURLToPath(new URL('../src', import.meta.url))
const LENGTH = 64 * 1024
/** What is linear takes a few milliseconds for 64 KiB; what is quadratic takes seconds. */
const MOST = 600

/** All regular expressions that stand in the sources. */
function expressions(): [file: string, text: string][] {
  const found = new Map<string, [string, string]>()
  for (const entry of readdirSync(src, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (!path.endsWith('.ts')) continue
    const look = (node: ts.Node): void => {
      if (ts.isRegularExpressionLiteral(node)) found.set(node.text, [relative(src, path), node.text])
      node.forEachChild(look)
    }
    look(ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.Latest))
  }
  return [...found.values()]
}

/** What might keep an expression busy: its own pieces and characters again and again, whole, cut off, or with something behind. */
function adversaries(source: string): string[] {
  const literal = source.replace(
    /\\[bBdDsSwWpP](?:\{[^}]*\})?|\\u\{?[\da-fA-F]+\}?|\\x[\da-fA-F]{2}|\(\?(?:[:=!]|<[=!]|<\w+>)/g,
    '\n',
  )
  const pieces = literal
    .split(/[()[\]{}|*+?^$\n.]+/)
    .map(each => each.replaceAll('\\', ''))
    .filter(each => each.length > 0)
  const words = [...new Set([...pieces, ...pieces.map(each => each[0]!), ...' \t\n\r0a:;,."\'/=_-%{}[]“‘«`<(!'])]
  const first = pieces.toSorted((a, b) => b.length - a.length).slice(0, 3)
  const units = [
    ...words,
    ...first.flatMap(piece => [`${piece} `, `${piece}0`, `${piece}a`, `${piece}"`, ` ${piece}`, `0${piece}`]),
  ]
  const repeated = (unit: string) => unit.repeat(Math.ceil(LENGTH / unit.length)).slice(0, LENGTH)
  return [
    ...units.map(repeated),
    ...first.flatMap(piece =>
      [...' 0a"'].flatMap(each => [`${piece}${repeated(each)}`, `${piece}${repeated(each)}${piece}`]),
    ),
  ]
}

describe('regular expressions over what others have written', () => {
  it('take no more than a moment for 64 KiB, whatever these are', { timeout: 120_000 }, () => {
    const all = expressions()
    expect(all.length).toBeGreaterThan(200)
    const slow: string[] = []
    for (const [file, text] of all) {
      const end = text.lastIndexOf('/')
      const expression = new RegExp(text.slice(1, end), text.slice(end + 1))
      for (const input of adversaries(text.slice(1, end))) {
        const from = performance.now()
        if (expression.global) input.replace(expression, '')
        else expression.exec(input)
        const took = performance.now() - from
        if (took < MOST) continue
        slow.push(`${file}: ${text} took ${Math.round(took)} ms for ${JSON.stringify(input.slice(0, 24))}…`)
        break
      }
    }
    expect(slow).toEqual([])
  })
})
