import type { Moment } from '../clock.js'
import type { Cause, Emit } from '../events.js'
import type { Keyring } from './keyring.js'
import type { News } from './news.js'
import { ENABLED, type PooledKey } from './pooled-key.js'
import { type Lane, OPEN } from './quota.js'

export interface RecoveryHost {
  now(): number
  moment(): Moment
  readonly emit: Emit
  /** A key may have become usable, or waiting may have become hopeless. */
  changed(): void
  /** Something was found out that holds for every process that uses the key. */
  tell(key: PooledKey, news: News): void
}

/** What has shown that something works again. */
export interface Sign {
  /** When the request left that showed it. */
  readonly sentAt: number
  /** The call whose request it was; `undefined`: it was no call of this process. */
  readonly callId?: string
  /** Whether another process has found out, and need not be told. */
  readonly elsewhere?: true
}

/** Ends what was held against keys and quotas, and says so. */
export class Recovery {
  readonly #keyring: Keyring
  readonly #host: RecoveryHost

  constructor(keyring: Keyring, host: RecoveryHost) {
    this.#keyring = keyring
    this.#host = host
  }

  /** A quota, or the part of one, is there again. */
  lane(lane: Lane, key: PooledKey, part: string | null, sign: Sign): void {
    const { sentAt, elsewhere } = sign
    const { cooldown } = lane
    if (cooldown.state === 'open') return
    lane.cooldown = OPEN
    lane.openedBy = sentAt
    lane.refusals = 0
    lane.probing = false
    this.#keyring.settleQuota(key.quota)
    if (!elsewhere) this.#host.tell(key, { kind: 'open', part: part ?? '', sentAt })
    this.#recovered(key, cooldown.cause, part, cooldown.since, sign)
  }

  /** A key that was switched off, or refused as invalid, is in use again. */
  key(key: PooledKey, sign: Sign): void {
    const { sentAt, elsewhere } = sign
    const { standing } = key
    if (standing.state !== 'rejected' && standing.state !== 'disabled') return
    key.standing = ENABLED
    key.probing = false
    this.#keyring.settle(key)
    if (!elsewhere) this.#host.tell(key, { kind: 'enabled', sentAt })
    const cause = standing.state === 'rejected' ? 'invalid-key' : standing.cause
    this.#recovered(key, cause, null, standing.since, sign)
  }

  #recovered(key: PooledKey, cause: Cause, part: string | null, since: number, sign: Sign): void {
    const downFor = Math.round(this.#host.now() - since)
    this.#host.emit('key-recovered', () => ({
      ...{ callId: sign.callId ?? null, keyId: key.id, cause, part, downFor },
      ...(sign.elsewhere && { elsewhere: true as const }),
    }))
    this.#host.changed()
  }
}
