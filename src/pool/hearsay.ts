import { dateAt } from '../clock.js'
import type { Keyring } from './keyring.js'
import type { News } from './news.js'
import type { PooledKey } from './pooled-key.js'
import { OPEN } from './quota.js'
import { reachOf } from './reach.js'
import type { Recovery, RecoveryHost } from './recovery.js'

/** Changes the state of keys and quotas by what other processes have found out. */
export class Hearsay {
  readonly #keyring: Keyring
  readonly #recovery: Recovery
  readonly #host: Pick<RecoveryHost, 'now' | 'moment' | 'emit' | 'changed'>

  constructor(keyring: Keyring, recovery: Recovery, host: Pick<RecoveryHost, 'now' | 'moment' | 'emit' | 'changed'>) {
    this.#keyring = keyring
    this.#recovery = recovery
    this.#host = host
  }

  /** Takes it over, unless better is known here. */
  hear(key: PooledKey, news: News): void {
    switch (news.kind) {
      case 'cooling':
        this.#refused(key, news)
        break
      case 'open': {
        const lane = news.part === '' ? key.quota : key.quota.parts.get(news.part)
        const { cooldown } = lane ?? { cooldown: OPEN }
        if (!lane || cooldown.state === 'open' || news.sentAt <= cooldown.refusedAt) break
        this.#recovery.lane(lane, key, news.part === '' ? null : news.part, { sentAt: news.sentAt, elsewhere: true })
        break
      }
      case 'rejected':
        this.#rejected(key, news)
        break
      case 'disabled':
        if (key.standing.state === 'removed' || key.standing.state === 'disabled') break
        key.standing = { state: 'disabled', cause: 'disabled', since: this.#host.now() }
        key.lastCause = 'disabled'
        this.#keyring.settle(key)
        this.#host.emit('key-disabled', () => ({
          ...{ callId: null, keyId: key.id, cause: 'disabled', status: null, probeAt: null, elsewhere: true },
        }))
        this.#host.changed()
        break
      case 'enabled': {
        const { standing } = key
        // What has expired here, has done so for everyone.
        if (standing.state === 'disabled' && standing.cause === 'expired') break
        if (standing.state === 'rejected' && news.sentAt < standing.since) break
        this.#recovery.key(key, { sentAt: news.sentAt, elsewhere: true })
        break
      }
    }
  }

  #refused(key: PooledKey, news: News & { kind: 'cooling' }): void {
    const { part, cause, status, scope, since, refusedAt, until, told } = news
    const now = this.#host.now()
    const lane = (part === '' ? undefined : key.quota.part(part)) ?? key.quota
    const { cooldown } = lane
    // A request that left later has passed, here, since.
    if (news.sentAt <= lane.openedBy || (until <= now && told)) return
    if (cooldown.state !== 'open' && news.sentAt <= cooldown.refusedAt) {
      if (cooldown.state === 'half-open' || until <= cooldown.until) return
    }
    lane.refusals++
    lane.probing = false
    const tryAt = news.tryAt ?? Number.POSITIVE_INFINITY
    lane.cooldown = { state: 'cooling', cause, since, refusedAt, until, told, tryAt }
    for (const each of key.quota.keys) each.lastCause = cause
    this.#keyring.settleQuota(key.quota)
    this.#host.emit('key-exhausted', () => ({
      ...{
        callId: null,
        keyId: key.id,
        cause,
        until: told ? dateAt(this.#host.moment(), until) : null,
        status,
        elsewhere: true,
      },
      ...{ scope: reachOf(key, scope, part === '' ? null : part), part: part === '' ? null : part, alike: [] },
    }))
    this.#host.changed()
  }

  #rejected(key: PooledKey, { status, since, failures, probeAt }: News & { kind: 'rejected' }): void {
    const { standing } = key
    if (standing.state === 'removed' || standing.state === 'disabled') return
    if (standing.state === 'rejected' && standing.probeAt >= probeAt) return
    key.standing = { state: 'rejected', since, status, failures, probeAt }
    key.probing = false
    key.lastCause = 'invalid-key'
    this.#keyring.settle(key)
    this.#host.emit('key-disabled', () => ({
      ...{
        callId: null,
        keyId: key.id,
        cause: 'invalid-key',
        status,
        probeAt: dateAt(this.#host.moment(), probeAt),
        elsewhere: true,
      },
    }))
    this.#host.changed()
  }
}
