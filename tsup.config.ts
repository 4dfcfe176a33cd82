import { defineConfig } from 'tsup'

const shared = {
  entry: { index: 'src/index.ts' },
  target: 'es2022',
  platform: 'neutral',
  sourcemap: true,
  tsconfig: 'tsconfig.src.json',
} as const

export default defineConfig([
  { ...shared, format: 'esm', dts: true, clean: true },
  // p-retry ships ES modules only, which require() can't load on every Node 20: the CommonJS build carries it.
  { ...shared, format: 'cjs', dts: true, noExternal: ['p-retry', 'is-network-error'] },
])
