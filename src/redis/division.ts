import type { Finding } from '../learning/hidden-limit.js'
import type { KeyQuota, PooledKey } from '../pool/pooled-key.js'
import type { SharedPool } from '../sharing.js'
import { type Claim, type Granted, Holding, kindOf } from './holding.js'
import type { RedisLink } from './link.js'
import type { Names } from './names.js'
import { DIVIDE } from './scripts.js'

/** All in milliseconds. */
const TIMES = {
  /** What is held is told so often, and while nothing is asked of the pool. */
  beat: 1_000,
  idleBeat: 5_000,
  /** Who has not told for so long has lost what it held, and after more is forgotten. */
  lease: 3_000,
  life: 15_000,
  /** Who asks for nothing for so long needs nothing. */
  idle: 2_000,
  /** Units that others wait for are looked for so often. */
  look: 50,
  /** Between two round trips lies at least so much. */
  pause: 10,
  /** Where there is less than one unit for each, it goes round so fast. */
  turn: 1_000,
  /** What nobody has touched is forgotten: longer than any month. */
  kept: 40 * 86_400_000,
  /** An answer that does not come is waited for no longer. */
  lost: 5_000,
  /** So long the end may wait for Redis. */
  farewell: 500,
}
/** So many quotas are told of in one round trip. */
const MOST = 256
/** While requests wait, so many quotas are asked for at least, so many for each request, and so many at first. */
const CHOICE = { least: 8, each: 2, first: 1_024 }

export interface DivisionOptions {
  readonly pool: SharedPool
  readonly link: RedisLink
  readonly names: Names
  readonly me: string
  readonly processes: number
  /** Redis has answered. */
  synced(): void
  failed(error: unknown): void
}

/** One quota whose limits are divided. */
interface Divided {
  readonly quota: KeyQuota
  readonly name: string
  readonly holdings: readonly Holding[]
  takenAt: number
}

interface Reply {
  readonly now: number
  readonly size: number
  readonly active: number
  readonly rank: number
  readonly quotas: readonly { readonly g: readonly Granted[]; readonly l: Finding | false }[] | object
}

/**
 * Holds this process' part of each limit: as much as it needs, and as the needs of the others allow.
 *
 * Requests take of what is held, and wait for nobody. More is asked for when it grows short, and given back when others
 * want it, in one round trip for all limits together.
 */
export class Division {
  readonly #options: DivisionOptions
  readonly #divided = new Map<KeyQuota, Divided>()
  /** Those that hold anything, or are asked for. */
  readonly #busy = new Set<Divided>()
  #underWay: { readonly since: number } | undefined
  #again = false
  #syncedAt = 0
  #activeAt = 0
  #renewedAt = 0
  #timer: NodeJS.Timeout | undefined
  #timerAt = Number.POSITIVE_INFINITY
  #isAlone = false
  #aloneSince = 0
  #isClosed = false
  /** Where to go on when not all quotas are asked for at once. */
  #turn = 0
  processes: number

  constructor(options: DivisionOptions) {
    this.#options = options
    this.processes = options.processes
  }

  get #now(): number {
    return this.#options.pool.clock.now()
  }

  added(key: PooledKey): void {
    const { quota } = key
    if (this.#divided.has(quota)) return
    const now = this.#now
    const seen = new Map<string, number>()
    const holdings = quota.limiter.declared.map(meter => {
      const kind = kindOf(meter)
      const place = seen.get(kind) ?? 0
      seen.set(kind, place + 1)
      return new Holding(meter, place, now)
    })
    const divided = { quota, name: this.#options.names.quota(quota, key), holdings, takenAt: Number.NEGATIVE_INFINITY }
    this.#divided.set(quota, divided)
    if (this.#isAlone) for (const holding of holdings) holding.standAlone(this.processes, 1, now, false)
  }

  /** A key has gone: its quota is no matter of ours any more, once nobody can say that it is. */
  removed({ quota }: PooledKey): void {
    const divided = this.#divided.get(quota)
    if (divided && quota.keys.size === 0 && !this.#busy.has(divided)) this.#divided.delete(quota)
  }

  /** A permit was taken. */
  taken(quota: KeyQuota): void {
    const now = this.#now
    this.#activeAt = now
    const divided = this.#divided.get(quota)
    if (divided) {
      divided.takenAt = now
      this.#busy.add(divided)
    }
    this.#wake(TIMES.look)
  }

  /** Requests wait. */
  waiting(): void {
    this.#activeAt = this.#now
    this.#wake(0)
  }

  /** Something has changed among the others. */
  nudged(): void {
    for (const { holdings } of this.#divided.values()) for (const holding of holdings) holding.nudged()
    this.#again = true
    this.#wake(0)
  }

  /** Goes on with a fixed part of each limit, till the next answer. */
  standAlone(): void {
    const now = this.#now
    if (!this.#isAlone) this.#aloneSince = now
    for (const { quota, holdings } of this.#divided.values()) {
      let isChanged = !this.#isAlone
      for (const holding of holdings) {
        const { per } = holding.meter.shape
        // Once more when the window is over that was under way then.
        const isSettled = per !== undefined && now - this.#aloneSince >= per
        if (this.#isAlone && !isSettled) continue
        holding.standAlone(this.processes, this.#weightOf(holding), now, isSettled)
        isChanged = true
      }
      if (isChanged) this.#options.pool.changed(quota)
    }
    this.#isAlone = true
  }

  /** Gives everything back. */
  async leave(isReachable: boolean): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    if (!isReachable) return
    const holders = [...this.#busy]
    try {
      for (let from = 0; from === 0 || from < holders.length; from += MOST) {
        await this.#options.link.within(this.#ask(holders.slice(from, from + MOST), true), TIMES.farewell)
      }
    } catch {
      // Redis is gone: what was held comes back to the others when the lease is over.
    }
  }

  /** Tells what is held and asks for what is needed. @throws whatever Redis says */
  async sync(): Promise<void> {
    if (this.#isClosed) return
    const now = this.#now
    // Answers that are late would be followed by others: one at a time, unless it is lost.
    if (this.#underWay && now - this.#underWay.since < TIMES.lost) {
      if (this.#isAlone) throw new Error('Redis has not answered yet')
      this.#again = true
      return
    }
    this.#again = false
    const chosen = this.#look(now)
    // Alone, the part is what it is.
    if (!this.#isAlone) for (const { holdings } of chosen) for (const holding of holdings) holding.trim(now)
    const ticket = { since: now }
    this.#underWay = ticket
    // Whoever has waited long enough is told; the way is free for the next only when the last answer is there.
    let last: Promise<unknown> = Promise.resolve()
    const settled = () => {
      if (this.#underWay === ticket) this.#underWay = undefined
    }
    try {
      for (let from = 0; from === 0 || from < chosen.length; from += MOST) {
        const part = chosen.slice(from, from + MOST)
        const asked = this.#ask(part, false)
        last = asked
        this.#take(await this.#options.link.within(asked), part)
      }
    } finally {
      last.then(settled, settled)
      this.#wake(this.#again ? 0 : this.#rest())
    }
  }

  async #ask(chosen: readonly Divided[], leaving: boolean): Promise<Reply> {
    const { link, names, me } = this.#options
    const now = this.#now
    const renew = now - this.#renewedAt > 86_400_000
    const toRedis = (at: number) => link.toRedis(at)
    const request = {
      ...{ me, lease: TIMES.lease, life: TIMES.life, turn: TIMES.turn, keep: TIMES.kept, renew, leaving },
      ...{ crew: this.processes, active: now - this.#activeAt < TIMES.idle },
      quotas: chosen.map(({ quota, name, holdings }) => ({
        name,
        claims: holdings.map((holding): Claim => holding.claim(this.#weightOf(holding), now, toRedis)),
        finding: quota.limiter.finding,
      })),
    }
    const text = await link.run(DIVIDE, [names.limits], [JSON.stringify(request), link.channel])
    const reply = JSON.parse(String(text)) as Reply
    link.observe(reply.now, now)
    if (renew) this.#renewedAt = now
    return reply
  }

  #take({ size, active, rank, quotas }: Reply, chosen: readonly Divided[]): void {
    if (this.#isClosed) return
    const { pool } = this.#options
    const now = this.#now
    this.#syncedAt = now
    this.processes = Math.max(1, size)
    const wasAlone = this.#isAlone
    this.#isAlone = false
    pool.crew(Math.max(1, active), rank)
    this.#options.synced()
    const toLocal = (at: number) => this.#options.link.toLocal(at)
    const replies = Array.isArray(quotas) ? quotas : []
    chosen.forEach(({ quota, holdings }, index) => {
      let isMore = wasAlone
      holdings.forEach((holding, each) => {
        if (holding.granted(replies[index].g[each], now, toLocal)) isMore = true
      })
      const { l: found } = replies[index]
      if (found && !quota.limiter.finding) quota.limiter.adopt({ ...found, units: found.units / Math.max(1, active) })
      if (isMore) pool.changed(quota)
      // What could be given up at once goes to the others at once.
      if (holdings.some(holding => holding.mayRelease(now))) this.#again = true
    })
  }

  /** Finds out what is needed now, and of what. */
  #look(now: number): Divided[] {
    const { waiting } = this.#options.pool
    if (waiting > 0) this.#activeAt = now
    const chosen = this.#choose(waiting > 0, now)
    const each = waiting / Math.max(1, chosen.length)
    for (const { holdings, takenAt } of chosen) {
      const isIdle = waiting === 0 && now - takenAt > TIMES.idle
      for (const holding of holdings) {
        const weight = this.#weightOf(holding)
        holding.want({ waiting: Math.ceil(each * weight), weight, isIdle }, now)
      }
    }
    return chosen
  }

  /** The quotas to ask for: those in use, and, while requests wait, those that may serve them. */
  #choose(isWaiting: boolean, now: number): Divided[] {
    const chosen = new Set<Divided>()
    for (const divided of this.#busy) {
      // Its key has gone: what it holds goes back with the next word.
      if (divided.quota.keys.size === 0) this.#divided.delete(divided.quota)
      const isIdle = now - divided.takenAt > TIMES.idle
      const holds = divided.holdings.some(({ meter }) => meter.held(now) > 0)
      if (isIdle && !holds && !isWaiting) this.#busy.delete(divided)
      chosen.add(divided)
    }
    // At first, what others have found out of each is to be known.
    if (!isWaiting && this.#syncedAt > 0) return [...chosen]
    const all = [...this.#divided.values()]
    // At first all, else enough to choose from.
    const { waiting } = this.#options.pool
    const enough = isWaiting ? Math.max(CHOICE.least, waiting * CHOICE.each) : CHOICE.first
    let looked = 0
    for (; looked < all.length && chosen.size < enough; looked++) {
      const divided = all[(this.#turn + looked) % all.length]!
      if (mayServe(divided.quota, now)) chosen.add(divided)
    }
    this.#turn += looked
    for (const divided of chosen) this.#busy.add(divided)
    return [...chosen]
  }

  #weightOf({ meter }: Holding): number {
    return this.#options.pool.firstInLine?.weigh(meter) ?? 1
  }

  /** How long nothing needs to be done. */
  #rest(): number {
    const now = this.#now
    const isActive = now - this.#activeAt < TIMES.idle
    if (isActive) return TIMES.look
    return this.#busy.size > 0 ? TIMES.beat : TIMES.idleBeat
  }

  #wake(delay: number): void {
    if (this.#isClosed || this.#isAlone) return
    const now = this.#now
    const at = Math.max(now + delay, Math.min(this.#syncedAt + TIMES.pause, now + TIMES.pause))
    if (at >= this.#timerAt) return
    clearTimeout(this.#timer)
    this.#timerAt = at
    this.#timer = setTimeout(() => this.#lookAgain(), at - now)
    this.#timer.unref()
  }

  /** Asks where there is something to be asked or told; else looks again in a while. */
  #lookAgain(): void {
    this.#timerAt = Number.POSITIVE_INFINITY
    if (this.#isClosed || this.#isAlone) return
    const now = this.#now
    if (now - this.#syncedAt > TIMES.lease)
      for (const { holdings } of this.#busy) for (const each of holdings) each.lapse(now)
    const beat = this.#busy.size > 0 || now - this.#activeAt < TIMES.idle ? TIMES.beat : TIMES.idleBeat
    if (this.#again || now - this.#syncedAt >= beat || this.#isWorthAsking(now)) {
      this.sync().catch(error => this.#options.failed(error))
      return
    }
    this.#wake(this.#rest())
  }

  /** Whether more is needed than is held, and may be had; or others wait for what is free again. */
  #isWorthAsking(now: number): boolean {
    return this.#look(now).some(({ holdings }) => holdings.some(holding => holding.isHungry || holding.mayRelease(now)))
  }
}

function mayServe({ cooldown, keys }: KeyQuota, now: number): boolean {
  if (cooldown.state === 'cooling' && Math.min(cooldown.until, cooldown.tryAt) > now) return false
  for (const { standing } of keys) if (standing.state === 'enabled' || standing.state === 'rejected') return true
  return false
}
