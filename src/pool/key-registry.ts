import { InvalidOptionError, KeypoolError } from '../errors.js'
import type { ResolvedLimit } from '../limiter/create-limiter.js'
import type { Limiter } from '../limiter/limiter.js'
import type { KeySettings } from '../settings.js'
import type { Health } from './health.js'
import type { Keyring } from './keyring.js'
import { type KeyQuota, PooledKey } from './pooled-key.js'
import { Quota } from './quota.js'

/** Makes keys of settings, gives them names and quotas, and finds them again by their value. */
export class KeyRegistry {
  readonly #keyring: Keyring
  readonly #health: Health
  readonly #createLimiter: (limits: readonly ResolvedLimit[], quota: () => KeyQuota) => Limiter
  readonly #byValue = new Map<string, PooledKey>()
  readonly #groups = new Map<string, { readonly quota: KeyQuota; readonly limits: readonly ResolvedLimit[] }>()
  /** The keys that the program's function brought, which it may take away again. */
  readonly #fromSource = new Set<PooledKey>()
  readonly #limits = new Map<PooledKey, readonly ResolvedLimit[]>()
  #made = 0
  // Of all keys that are or were in the pool: how tokens are counted, the least that a key lets pass of them, and
  // whether one has an endpoint of its own.
  readonly costs = new Set<((request: Request) => number) | undefined>()
  leastTokens = Number.POSITIVE_INFINITY
  hasBaseUrls = false

  constructor(
    keyring: Keyring,
    health: Health,
    createLimiter: (limits: readonly ResolvedLimit[], quota: () => KeyQuota) => Limiter,
  ) {
    this.#keyring = keyring
    this.#health = health
    this.#createLimiter = createLimiter
  }

  /** @throws InvalidOptionError for an id or a value that is there already. */
  add(settings: KeySettings): PooledKey {
    const { id, secret } = settings
    if (id !== undefined && this.#keyring.get(id)) {
      throw new InvalidOptionError('key.id', 'an id of its own', `'${id}', which another key has`)
    }
    const twin = this.#byValue.get(secret.reveal())
    if (twin) throw new InvalidOptionError('key.value', 'a key that is not in the pool', `the value of '${twin.id}'`)
    const key = new PooledKey({
      ...settings,
      id: id ?? this.#nextId(),
      order: ++this.#made,
      quota: this.#quotaFor(settings),
    })
    this.#note(settings)
    this.#limits.set(key, settings.limits)
    this.#byValue.set(secret.reveal(), key)
    this.#keyring.add(key)
    return key
  }

  remove(key: PooledKey): void {
    this.#byValue.delete(key.secret.reveal())
    this.#fromSource.delete(key)
    this.#limits.delete(key)
    this.#keyring.remove(key)
    const { group } = key.quota
    if (group !== undefined && key.quota.keys.size === 0) this.#groups.delete(group)
  }

  /** @throws KeypoolError with `ERR_UNKNOWN_KEY` */
  find(id: string): PooledKey {
    const key = this.#keyring.get(id)
    if (!key) throw new KeypoolError('ERR_UNKNOWN_KEY', `No key has the id '${id}'.`)
    return key
  }

  /** Whether a text is the value of one of the keys. */
  isValue(text: string): boolean {
    return this.#byValue.has(text)
  }

  /** Makes the pool hold what the program's function has brought: keys that stay keep their state. */
  replaceSourced(all: readonly KeySettings[]): void {
    const values = new Set(all.map(({ secret }) => secret.reveal()))
    for (const key of [...this.#fromSource]) if (!values.has(key.secret.reveal())) this.remove(key)
    for (const settings of all) {
      const known = this.#byValue.get(settings.secret.reveal())
      if (known && (settings.id === undefined || settings.id === known.id)) {
        this.#update(known, settings)
        this.#fromSource.add(known)
      } else {
        if (known) this.remove(known)
        this.#fromSource.add(this.add(settings))
      }
    }
  }

  #note({ limits, baseUrl }: KeySettings): void {
    for (const limit of limits) {
      if (limit.kind === 'concurrency' || limit.unit !== 'tokens') continue
      this.costs.add(limit.cost)
      const capacity = limit.kind === 'window' ? (limit.burst ?? limit.limit) : limit.limit
      this.leastTokens = Math.min(this.leastTokens, capacity)
    }
    this.hasBaseUrls ||= baseUrl !== undefined
  }

  #update(key: PooledKey, settings: KeySettings): void {
    this.#note(settings)
    const limitsChanged = !sameLimits(this.#limits.get(key) ?? [], settings.limits)
    const quota = limitsChanged || key.quota.group !== settings.group ? this.#quotaFor(settings) : key.quota
    this.#keyring.update(key, () => {
      key.quota = quota
      key.weight = settings.weight
      key.priority = settings.priority
      key.tags = settings.tags
      key.baseUrl = settings.baseUrl
      key.expiresAt = settings.expiresAt
    })
    this.#limits.set(key, settings.limits)
    const { standing } = key
    if (standing.state === 'disabled' && standing.cause === 'expired') this.#health.enable(key)
  }

  #quotaFor({ group, limits }: KeySettings): KeyQuota {
    const known = group === undefined ? undefined : this.#groups.get(group)
    if (known && !sameLimits(known.limits, limits)) {
      const expected = `the limits that the others of group '${group}' have: they share one bucket`
      throw new InvalidOptionError('key.limits', expected, 'other limits')
    }
    if (known) return known.quota
    const quota: KeyQuota = new Quota<PooledKey>(
      this.#createLimiter(limits, () => quota),
      group,
    )
    if (group !== undefined) this.#groups.set(group, { quota, limits })
    return quota
  }

  #nextId(): string {
    for (let number = this.#made + 1; ; number++) {
      const id = `key-${number}`
      if (!this.#keyring.get(id)) return id
    }
  }
}

function sameLimits(a: readonly ResolvedLimit[], b: readonly ResolvedLimit[]): boolean {
  if (a === b) return true
  return (
    a.length === b.length &&
    a.every((limit, index) => {
      const other = b[index]! as Record<string, unknown>
      return Object.entries(limit).every(([name, value]) => other[name] === value)
    })
  )
}
