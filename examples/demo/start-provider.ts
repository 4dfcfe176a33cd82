import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { ProviderKeyStats, ProviderSettings } from './provider.js'

export interface RunningProvider {
  readonly url: string
  /** The provider's own count, by key. */
  stats(): Promise<Record<string, ProviderKeyStats>>
  stop(): void
}

/** Starts the provider in a process of its own. */
export async function startProvider(settings: ProviderSettings): Promise<RunningProvider> {
  const script = fileURLToPath(new URL('./provider.ts', import.meta.url))
  const child = fork(script, [JSON.stringify(settings)], { execArgv: ['--import', 'tsx'] })
  const [{ url }] = (await once(child, 'message')) as [{ url: string }]
  return {
    url,
    async stats() {
      child.send('stats')
      const [{ stats }] = (await once(child, 'message')) as [{ stats: Record<string, ProviderKeyStats> }]
      return stats
    },
    stop: () => child.disconnect(),
  }
}
