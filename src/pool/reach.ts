import type { RefusalScope } from '../events.js'
import type { Scope } from '../signals/provider.js'
import type { PooledKey } from './pooled-key.js'

/** How far a refusal reaches, as events tell it. */
export function reachOf({ quota }: PooledKey, scope: Scope, part: string | null): RefusalScope {
  if (scope === 'provider') return 'key'
  if (scope === 'key' && quota.group !== undefined) return 'group'
  return scope === 'model' && part === null ? 'key' : scope
}
