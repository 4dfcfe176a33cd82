/**
 * All benchmarks in one run: prints tables, and writes RESULTS.md and the plots. Each part is a process of its own;
 * `npm run bench -- cost scale` runs some of them.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'
import { toSvg } from './plot.mjs'

const PARTS = ['cost', 'cache-hit', 'goodput', 'fleet', 'gateway', 'scale', 'size']
const PEERS = [
  'ky',
  'ofetch',
  '@fetchkit/ffetch',
  'p-retry',
  'cockatiel',
  'bottleneck',
  'undici',
  'make-fetch-happen',
  '@portkey-ai/gateway',
]
/** What the parts run with: nothing that slows what is measured. */
const FLAGS = { goodput: ['--import', 'tsx'], scale: ['--expose-gc'] }
const here = new URL('.', import.meta.url)

if (process.argv[2] === '--part') {
  const { default: part } = await import(`./parts/${process.argv[3]}.mjs`)
  process.send(await part(), () => process.exit(0))
} else {
  const asked = process.argv.slice(2)
  const unknown = asked.find(name => !PARTS.includes(name))
  if (unknown) throw new Error(`There is no part '${unknown}': ${PARTS.join(', ')}.`)
  const results = []
  for (const name of asked.length > 0 ? asked : PARTS) {
    console.error(`${name}…`)
    const child = fork(fileURLToPath(import.meta.url), ['--part', name], { execArgv: FLAGS[name] ?? [] })
    const [result] = await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(([code]) => {
        throw new Error(`${name} ended with ${code}`)
      }),
    ])
    results.push(result)
    print(result)
  }
  if (asked.length === 0) await write(results)
}

function print({ title, about, head, rows }) {
  const table = new Table({ head, style: { head: [], border: [] } })
  table.push(...rows)
  console.log(`\n${title}\n${about}\n${table}`)
}

async function write(results) {
  const version = name => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, here), 'utf8')).version
  const lines = [
    '# Benchmarks',
    '',
    `Made by \`npm run bench\` on ${new Date().toISOString().slice(0, 10)} with Node.js ${process.version} on ${cpus().length} cores (${cpus()[0].model.trim()}).`,
    'Ratios within a table count, the numbers themselves are this machine’s.',
    '',
    `fetch-keypool ${version('fetch-keypool')}, beside ${PEERS.map(name => `${name} ${version(name)}`).join(', ')}.`,
    '',
  ]
  mkdirSync(new URL('plots/', here), { recursive: true })
  for (const { title, about, head, rows, plots = [] } of results) {
    lines.push(`## ${title}`, '', about, '')
    lines.push(`| ${head.join(' | ')} |`, `|${head.map(() => '---').join('|')}|`)
    for (const row of rows) lines.push(`| ${row.join(' | ')} |`)
    lines.push('')
    for (const plot of plots) {
      writeFileSync(new URL(`plots/${plot.name}.svg`, here), await toSvg(plot))
      lines.push(`![${plot.title}](plots/${plot.name}.svg)`, '')
    }
  }
  writeFileSync(new URL('RESULTS.md', here), lines.join('\n'))
  console.error('bench/RESULTS.md is written')
}
