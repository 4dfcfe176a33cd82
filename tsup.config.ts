import { defineConfig } from 'tsup'

const shared = {
  target: 'es2022',
  sourcemap: true,
  tsconfig: 'tsconfig.src.json',
} as const
/** On web standards alone. */
const core = { ...shared, entry: { index: 'src/index.ts' }, platform: 'neutral' } as const
/** For Node.js and what is like it. */
const subpaths = {
  ...shared,
  tsconfig: 'tsconfig.subpaths.json',
  entry: { keyv: 'src/keyv/index.ts', redis: 'src/redis/index.ts' },
  platform: 'node',
} as const

export default defineConfig([
  // All types together: what entries have in common is one and the same in all of them.
  { ...subpaths, entry: { ...core.entry, ...subpaths.entry }, format: ['esm', 'cjs'], dts: { only: true } },
  { ...core, format: 'esm' },
  // p-retry ships ES modules only, which require() can't load on every Node 20: the CommonJS build carries it.
  { ...core, format: 'cjs', noExternal: ['p-retry', 'is-network-error'] },
  { ...subpaths, format: 'esm' },
  { ...subpaths, format: 'cjs' },
])
