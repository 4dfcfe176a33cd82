import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const src = join(root, 'src')
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(
  name => name.endsWith('.ts') && !name.endsWith('.d.ts'),
)
const imports = new Map(
  files.map(name => {
    const text = readFileSync(join(src, name), 'utf8')
    return [
      name,
      [...text.matchAll(/^(?:import|export)\s(?:[^'"]*?\sfrom\s)?'([^']+)'/gm)].map(([, from]) => from!),
    ] as const
  }),
)

/** What is imported as `fetch-keypool/NAME`. */
const SUBPATHS = ['keyv', 'redis', 'otel', 'gateway', 'cli']
/** What is for Node.js besides. */
const FOR_NODE = [...SUBPATHS, 'node']

describe('the source', () => {
  it('imports each third-party package in one place', () => {
    const importers: Record<string, string[]> = {}
    for (const [name, all] of imports) {
      for (const from of all.filter(each => !/^(\.|node:|fetch-keypool)/.test(each)))
        importers[from] = [...(importers[from] ?? []), name]
    }
    expect(Object.keys(importers).length).toBeGreaterThan(5)
    for (const [from, names] of Object.entries(importers)) expect({ from, names }).toEqual({ from, names: [names[0]] })
  })

  it('of the core uses no Node built-ins, and nothing of the subpath entries', () => {
    for (const [name, all] of imports) {
      const entry = name.split('/')[0]!
      if (FOR_NODE.includes(entry)) continue
      const across = all.filter(from =>
        FOR_NODE.some(each => from.startsWith(`./${each}/`) || from.startsWith(`../${each}/`)),
      )
      expect({ name, across }).toEqual({ name, across: [] })
      expect({ name, builtins: all.filter(from => from.startsWith('node:')) }).toEqual({ name, builtins: [] })
    }
  })

  it('has no import cycles', () => {
    const done = new Set<string>()
    const visit = (name: string, path: readonly string[]) => {
      expect(path).not.toContain(name)
      if (done.has(name)) return
      for (const from of imports.get(name) ?? []) {
        if (!from.startsWith('.')) continue
        visit(relative(src, resolve(src, dirname(name), from.replace(/\.js$/, '.ts'))), [...path, name])
      }
      done.add(name)
    }
    visit('index.ts', [])
    for (const entry of SUBPATHS) visit(`${entry}/index.ts`, [])
    expect(done.size).toBe(files.length)
  })

  it('keeps its layers apart: none imports another but for types', () => {
    for (const name of files.filter(each => each.startsWith('layers/'))) {
      const text = readFileSync(join(src, name), 'utf8')
      const others = [...text.matchAll(/^import (?!type)[^']*'(\.\/[^']+)'/gm)].map(([, from]) => from)
      expect({ name, others }).toEqual({ name, others: [] })
    }
  })
})

describe('the package', () => {
  it('locks its dependencies without machine-specific addresses', () => {
    expect(readFileSync(join(root, 'package-lock.json'), 'utf8')).not.toMatch(/"resolved"|localhost|127\.0\.0\.1/)
  })

  it('pins Bottleneck exactly', () => {
    const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }
    expect(dependencies.bottleneck).toBe('2.19.5')
  })
})
