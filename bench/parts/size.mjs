import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'

/** What `import { wrapFetch }` adds to a bundle. */
export default async function size() {
  const bundle = async external => {
    const { outputFiles } = await build({
      stdin: {
        contents: "import { wrapFetch } from 'fetch-keypool'; console.log(wrapFetch)",
        resolveDir: import.meta.dirname,
      },
      ...{ bundle: true, minify: true, format: 'esm', platform: 'node', write: false, logLevel: 'error' },
      external,
    })
    const [{ contents }] = outputFiles
    return { minified: contents.byteLength, gzipped: gzipSync(contents, { level: 9 }).byteLength }
  }
  const own = await bundle([
    ...['bottleneck', 'bottleneck/light.js', 'eventemitter3', 'http-cache-semantics', 'is-network-error', 'lru-cache'],
    ...['p-retry', 'structured-headers', 'valibot'],
  ])
  const all = await bundle([])
  const kilobytes = bytes => `${(bytes / 1_000).toFixed(1)} kB`
  return {
    title: 'Size',
    about: 'What `import { wrapFetch }` adds to a bundle.',
    head: ['', 'minified', 'and gzipped'],
    rows: [
      ['its own code, 38 providers and all', kilobytes(own.minified), kilobytes(own.gzipped)],
      ['with dependencies', kilobytes(all.minified), kilobytes(all.gzipped)],
    ],
  }
}
