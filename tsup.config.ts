import { cp } from 'node:fs/promises'
import { defineConfig, type Options } from 'tsup'

const shared = {
  target: 'es2022',
  sourcemap: true,
  tsconfig: 'tsconfig.src.json',
} as const
/** On web standards alone. */
const core = { ...shared, entry: { index: 'src/index.ts' }, platform: 'neutral' } as const
/** For Node.js and what is like it. What they need of the core, they import from it: there is one of it in a program. */
const subpaths = {
  ...shared,
  tsconfig: 'tsconfig.subpaths.json',
  entry: {
    keyv: 'src/keyv/index.ts',
    redis: 'src/redis/index.ts',
    otel: 'src/otel/index.ts',
    'gateway/index': 'src/gateway/index.ts',
  },
  platform: 'node',
  external: [/^fetch-keypool(?:\/|$)/] as (string | RegExp)[],
} satisfies Options

export default defineConfig([
  // All types together: what entries have in common is one and the same in all of them.
  { ...subpaths, entry: { ...core.entry, ...subpaths.entry }, format: ['esm', 'cjs'], dts: { only: true } },
  { ...core, format: 'esm' },
  // p-retry ships ES modules only, which require() can't load on every Node 20: the CommonJS build carries it.
  { ...core, format: 'cjs', noExternal: ['p-retry', 'is-network-error'] },
  {
    ...subpaths,
    format: 'esm',
    onSuccess: () => cp('src/gateway/operator/dashboard', 'dist/gateway/dashboard', { recursive: true }),
  },
  { ...subpaths, format: 'cjs', shims: true, noExternal: ['p-retry', 'is-network-error'] },
  { ...subpaths, entry: { 'cli/index': 'src/cli/index.ts' }, format: 'esm' },
])
