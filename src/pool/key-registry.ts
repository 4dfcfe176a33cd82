import { describe } from '../describe.js'
import { InvalidOptionError, KeypoolError } from '../errors.js'
import type { ResolvedLimit } from '../limiter/create-limiter.js'
import type { Limiter } from '../limiter/limiter.js'
import { redactText } from '../redact.js'
import { maskBytes } from '../redact-bytes.js'
import type { KeySettings } from '../settings.js'
import { Endpoint } from './endpoint.js'
import type { Health } from './health.js'
import type { Keyring } from './keyring.js'
import { type KeyQuota, PooledKey } from './pooled-key.js'
import { Quota } from './quota.js'

/** @param known - whether limits hold besides these: then it need not begin gently */
type CreateLimiter = (limits: readonly ResolvedLimit[], quota: () => KeyQuota, known?: boolean) => Limiter

/** More keys than this are not looked for one by one. */
const MANY = 32

/** Makes keys of settings, gives them names and quotas, and finds them again by their value. */
export class KeyRegistry {
  readonly #keyring: Keyring
  readonly #health: Health
  readonly #createLimiter: CreateLimiter
  readonly #byValue = new Map<string, PooledKey>()
  readonly #groups = new Map<string, { readonly quota: KeyQuota; readonly limits: readonly ResolvedLimit[] }>()
  /** The keys that the program's function brought, which it may take away again. */
  readonly #fromSource = new Set<PooledKey>()
  readonly #limits = new Map<PooledKey, readonly ResolvedLimit[]>()
  /** Told of each key that comes in, or is changed, before it is used. */
  added: ((key: PooledKey) => void) | undefined
  /** Told of each that has gone. */
  removed: ((key: PooledKey) => void) | undefined
  readonly #tenants = new WeakMap<PooledKey, string>()
  /** By their URL. */
  readonly #endpoints = new Map<string, Endpoint>()
  #made = 0
  // Of all keys that are or were in the pool: how tokens are counted, the least that a key lets pass of them, and
  // whether one has an endpoint of its own.
  readonly costs = new Set<((request: Request) => number) | undefined>()
  leastTokens = Number.POSITIVE_INFINITY
  hasBaseUrls = false

  constructor(keyring: Keyring, health: Health, createLimiter: CreateLimiter) {
    this.#keyring = keyring
    this.#health = health
    this.#createLimiter = createLimiter
  }

  /** How many keys there are. */
  get size(): number {
    return this.#keyring.size
  }

  /** @throws InvalidOptionError for an id or a value that is there already. */
  add(settings: KeySettings): PooledKey {
    const { id, secret, at } = settings
    if (id !== undefined && this.#keyring.get(id)) {
      throw new InvalidOptionError(`${at}.id`, 'an id of its own', `'${id}', which another key has`)
    }
    const twin = this.#byValue.get(secret.reveal())
    if (twin) throw new InvalidOptionError(`${at}.value`, 'a key that is not in the pool', `the value of '${twin.id}'`)
    if (settings.weight !== undefined) this.#keyring.useWeights()
    const key = new PooledKey({
      ...settings,
      weight: settings.weight ?? 1,
      id: id ?? this.#nextId(),
      order: ++this.#made,
      quota: this.#quotaFor(settings),
    })
    this.#note(settings)
    key.endpoint = this.#endpointOf(settings)
    this.#limits.set(key, settings.limits)
    this.#byValue.set(secret.reveal(), key)
    this.added?.(key)
    this.#keyring.add(key)
    return key
  }

  remove(key: PooledKey): void {
    this.#takeOut(key)
    this.#forgetEmptyGroups([key])
  }

  #takeOut(key: PooledKey): void {
    this.#byValue.delete(key.secret.reveal())
    this.#fromSource.delete(key)
    this.#limits.delete(key)
    this.#keyring.remove(key)
    this.removed?.(key)
  }

  #forgetEmptyGroups(keys: readonly PooledKey[]): void {
    for (const { quota } of keys) {
      if (quota.group !== undefined && quota.keys.size === 0) this.#groups.delete(quota.group)
    }
  }

  /** @throws KeypoolError with `ERR_UNKNOWN_KEY` */
  find(id: string): PooledKey {
    const key = this.#keyring.get(id)
    if (!key) {
      const what = this.#holdsValue(id) ? 'given: it holds the value of a key' : describe(id)
      throw new KeypoolError('ERR_UNKNOWN_KEY', `No key has the id ${what}.`)
    }
    return key
  }

  /** Whether a text holds the value of one of the keys, or one that it had before. */
  #holdsValue(text: string): boolean {
    for (const { secret, formerSecret } of this.#keyring.values()) {
      for (const each of [secret, formerSecret]) {
        if (each && (each.equals(text) || redactText(text, each) !== text)) return true
      }
    }
    return false
  }

  /** Whether a text is the value of one of the keys. */
  isValue(text: string): boolean {
    return this.#byValue.has(text)
  }

  /**
   * The name of whose answers those to the key with this id are: its group's, or its own alone. A key without a group has
   * a name that no other has, in this process or another: ids are given anew.
   */
  tenantOf(id: string): string {
    const key = this.#keyring.get(id)
    if (!key) return ''
    const { group } = key.quota
    if (group !== undefined) return `group ${group}`
    let name = this.#tenants.get(key)
    if (name === undefined) {
      name = `key ${crypto.randomUUID()}`
      this.#tenants.set(key, name)
    }
    return name
  }

  /** Whether a URL may hold the value of one of the keys: of many keys nobody looks for each. */
  isValueIn(url: string): boolean {
    if (this.#byValue.size > MANY) return url.includes('?')
    for (const value of this.#byValue.keys())
      if (url.includes(value) || url.includes(encodeURIComponent(value))) return true
    return false
  }

  /** A text without the value of the key with this id. */
  scrub(text: string, id: string | null): string {
    const key = id === null ? undefined : this.#keyring.get(id)
    if (!key) return text
    const clean = redactText(text, key.secret)
    return key.formerSecret ? redactText(clean, key.formerSecret) : clean
  }

  /** Puts stars in the place of the value of the key with this id. */
  scrubBytes(bytes: Uint8Array<ArrayBuffer>, id: string | null): Uint8Array<ArrayBuffer> {
    const key = id === null ? undefined : this.#keyring.get(id)
    if (!key) return bytes
    const clean = maskBytes(bytes, key.secret)
    return key.formerSecret ? maskBytes(clean, key.formerSecret) : clean
  }

  /**
   * Makes the pool hold what the program's function has brought. Keys that stay keep their state: those with the value
   * that they had, and those with the `id` that they had, whose value is a new one for the same key. So do groups.
   *
   * @throws InvalidOptionError for a list that can't be; the pool stays as it was
   */
  replaceSourced(all: readonly KeySettings[]): void {
    this.#checkAgainstOwn(all)
    const byValue = new Map(all.map(settings => [settings.secret.reveal(), settings]))
    const byId = new Map(all.flatMap(settings => (settings.id === undefined ? [] : [[settings.id, settings]])))
    // First what goes, so that a name that moves from one value to another is free.
    const gone: PooledKey[] = []
    const renewals: [PooledKey, KeySettings][] = []
    for (const key of [...this.#fromSource]) {
      const settings = byValue.get(key.secret.reveal())
      if (settings && (settings.id === undefined || settings.id === key.id)) continue
      const renewed = byId.get(key.id)
      if (renewed) renewals.push([key, renewed])
      else {
        this.#takeOut(key)
        gone.push(key)
      }
    }
    // Old values first: keys may have changed places.
    for (const [key] of renewals) this.#byValue.delete(key.secret.reveal())
    for (const [key, settings] of renewals) this.#renew(key, settings)
    // A group whose limits have changed begins a new bucket, with all of its keys.
    for (const { group, limits } of all) {
      if (group === undefined) continue
      const known = this.#groups.get(group)
      if (known && !sameLimits(known.limits, limits)) this.#groups.delete(group)
    }
    for (const settings of all) {
      const known = this.#byValue.get(settings.secret.reveal())
      if (known) this.#update(known, settings)
      this.#fromSource.add(known ?? this.add(settings))
    }
    this.#forgetEmptyGroups(gone)
  }

  /** A key has a new value: its counts and its state stay, but for what was said of the old value alone. */
  #renew(key: PooledKey, { secret }: KeySettings): void {
    this.removed?.(key)
    this.#byValue.set(secret.reveal(), key)
    key.formerSecret = key.secret
    key.secret = secret
    key.provenAt = undefined
    this.added?.(key)
    if (key.standing.state === 'rejected') this.#health.enable(key)
  }

  /** Refuses names that keys of the program's own have, before anything is changed. */
  #checkAgainstOwn(all: readonly KeySettings[]): void {
    for (const { id, secret, at } of all) {
      const holder = id === undefined ? undefined : this.#keyring.get(id)
      if (holder && !this.#fromSource.has(holder) && !secret.equals(holder.secret.reveal())) {
        throw new InvalidOptionError(
          `${at}.id`,
          'an id of its own for each key',
          `that of a key that was added: ${describe(id)}`,
        )
      }
    }
    const groups = new Map<string, readonly ResolvedLimit[]>()
    for (const { group, limits, at } of all) {
      if (group === undefined) continue
      const others = groups.get(group)
      if (others && !sameLimits(others, limits)) throw groupError(at, group)
      groups.set(group, limits)
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
    if (settings.weight !== undefined) this.#keyring.useWeights()
    this.#note(settings)
    const limitsChanged = !sameLimits(this.#limits.get(key) ?? [], settings.limits)
    const quota = limitsChanged || key.quota.group !== settings.group ? this.#quotaFor(settings) : key.quota
    if (quota !== key.quota && quota.keys.size === 0) {
      // What the server has said holds on, whatever the limits are now.
      quota.cooldown = key.quota.cooldown
      quota.refusals = key.quota.refusals
      quota.adoptParts(key.quota)
    }
    this.#keyring.update(key, () => {
      key.quota = quota
      key.weight = settings.weight ?? 1
      key.priority = settings.priority
      key.tags = settings.tags
      key.baseUrl = settings.baseUrl
      key.endpoint = this.#endpointOf(settings)
      key.expiresAt = settings.expiresAt
    })
    this.#limits.set(key, settings.limits)
    this.added?.(key)
    const { standing } = key
    if (standing.state === 'disabled' && standing.cause === 'expired') this.#health.enable(key)
  }

  #quotaFor({ group, limits, at }: KeySettings): KeyQuota {
    const known = group === undefined ? undefined : this.#groups.get(group)
    if (known && !sameLimits(known.limits, limits)) {
      throw groupError(at, group!)
    }
    if (known) return known.quota
    const quota: KeyQuota = new Quota<PooledKey>(
      this.#createLimiter(limits, () => quota),
      group,
      () => this.#createLimiter([], () => quota, limits.length > 0),
    )
    if (group !== undefined) this.#groups.set(group, { quota, limits })
    return quota
  }

  #endpointOf({ baseUrl }: KeySettings): Endpoint | undefined {
    if (!baseUrl) return undefined
    let endpoint = this.#endpoints.get(baseUrl.href)
    if (!endpoint) {
      endpoint = new Endpoint()
      this.#endpoints.set(baseUrl.href, endpoint)
    }
    return endpoint
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
      // A function that is made anew with each list is the same function, for all that one can tell.
      return Object.entries(limit).every(
        ([name, value]) => other[name] === value || (typeof value === 'function' && typeof other[name] === 'function'),
      )
    })
  )
}

function groupError(at: string, group: string): InvalidOptionError {
  const expected = `the limits that the others of group '${group}' have: they share one bucket`
  return new InvalidOptionError(`${at}.limits`, expected, 'other limits')
}
