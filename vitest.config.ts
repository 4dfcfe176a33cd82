import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const alias = [
  { find: /^fetch-keypool$/, replacement: fileURLToPath(new URL('./src/index.ts', import.meta.url)) },
  { find: /^fetch-keypool\/(\w+)$/, replacement: fileURLToPath(new URL('./src/$1/index.ts', import.meta.url)) },
]
const shared = { testTimeout: 30_000, hookTimeout: 30_000, pool: 'forks' as const }

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        resolve: { alias },
        test: {
          ...shared,
          name: 'units',
          include: ['test/**/*.test.ts'],
          exclude: ['test/e2e/**'],
          sequence: { groupOrder: 0 },
        },
      },
      {
        // In real time, against servers in processes of their own: after the others, and one file at a time.
        resolve: { alias },
        test: {
          ...shared,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
})
