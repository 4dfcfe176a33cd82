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
  { ...core, format: 'esm', dts: true },
  // p-retry ships ES modules only, which require() can't load on every Node 20: the CommonJS build carries it.
  { ...core, format: 'cjs', dts: true, noExternal: ['p-retry', 'is-network-error'] },
  { ...subpaths, format: 'esm', dts: true },
  { ...subpaths, format: 'cjs', dts: true },
])
