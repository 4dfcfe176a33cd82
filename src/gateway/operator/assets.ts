import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const cache = new Map<string, string>()

/** A file of the page, read once. Those of uPlot come from its own package. */
export function asset(name: 'index.html' | 'app.js' | 'style.css' | 'uplot.js' | 'uplot.css'): string {
  let text = cache.get(name)
  if (text === undefined) {
    text = readFileSync(pathOf(name), 'utf8')
    cache.set(name, text)
  }
  return text
}

function pathOf(name: string): string | URL {
  if (!name.startsWith('uplot')) return new URL(`./dashboard/${name}`, import.meta.url)
  const main = createRequire(import.meta.url).resolve('uplot/package.json')
  return join(dirname(main), 'dist', name === 'uplot.js' ? 'uPlot.iife.min.js' : 'uPlot.min.css')
}
