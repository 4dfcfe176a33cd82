import { atMoments, type News } from '../pool/news.js'
import type { PooledKey } from '../pool/pooled-key.js'
import type { Lane } from '../pool/quota.js'
import type { SharedPool } from '../sharing.js'
import type { RedisLink } from './link.js'
import type { Names } from './names.js'
import { TELL } from './scripts.js'

/** For how long it is kept what was found out about keys: longer than any month. In milliseconds. */
const KEPT = 40 * 86_400_000
/** For how long one process is the one that tries a key, before another may, in milliseconds. */
const PROBE = 10_000
/** Where nobody answers whether a key may be tried, it is tried all the same, after so long. In milliseconds. */
const UNANSWERED = 1_000
/** News that Redis did not take is told again when it is back: the newest of each key. */
type Untold = Map<string, { readonly key: PooledKey; readonly news: News }>

/** Whether this process may try a key: it was asked, granted till then, or given to another till then. */
interface Probe {
  readonly state: 'asked' | 'granted' | 'taken'
  readonly until: number
}

export interface StatesOptions {
  readonly pool: SharedPool
  readonly link: RedisLink
  readonly names: Names
  readonly me: string
  failed(error: unknown): void
}

/** What is found out about keys, in this process and in others: told to all, kept, and read by those that start. */
export class States {
  readonly #options: StatesOptions
  /** The keys by what others call them. */
  readonly #byField = new Map<string, PooledKey>()
  readonly #probes = new Map<string, Probe>()
  readonly #untold: Untold = new Map()

  constructor(options: StatesOptions) {
    this.#options = options
  }

  /** A key has come in. */
  added(key: PooledKey): void {
    const { names } = this.#options
    const quota = names.quota(key.quota, key)
    const own = names.key(key)
    this.#byField.set(own, key)
    this.#byField.set(quota, key)
    key.mayProbe = () => this.#mayProbe(own, key)
    key.quota.mayProbe = () => this.#mayProbe(quota, key)
    key.quota.mayProbePart = part => this.#mayProbe(names.part(quota, part), key)
    for (const [part, lane] of key.quota.parts as ReadonlyMap<string, Lane>) {
      lane.mayProbe = () => key.quota.mayProbePart!(part)
    }
  }

  /** A key has gone. */
  removed(key: PooledKey): void {
    const { names } = this.#options
    const own = names.key(key)
    const quota = names.quota(key.quota, key)
    this.#byField.delete(own)
    if (this.#byField.get(quota) === key) {
      const [other] = key.quota.keys
      if (other) this.#byField.set(quota, other)
      else this.#byField.delete(quota)
    }
    for (const field of [...this.#probes.keys()]) {
      if (field === own || (field.split('.')[0] === quota && key.quota.keys.size === 0)) this.#probes.delete(field)
    }
  }

  /** Tells all others; what can't be told now is told when Redis is back. */
  tell(key: PooledKey, news: News): void {
    const { names, link, me } = this.#options
    const field = fieldOf(names, key, news)
    this.#probes.delete(field)
    const text = JSON.stringify(atMoments(news, at => link.toRedis(at)))
    const keys = [names.states, names.probe(field)]
    link
      .within(link.run(TELL, keys, [field, text, me, link.channel, String(KEPT)]))
      .then(known => {
        if (typeof known === 'string') this.#hear(field, known)
      })
      .catch(error => {
        this.#untold.set(field, { key, news })
        this.#options.failed(error)
      })
  }

  /** Tells what could not be told. */
  tellRest(): void {
    const all = [...this.#untold.values()]
    this.#untold.clear()
    for (const { key, news } of all) this.tell(key, news)
  }

  /** Another process tells. */
  heard(field: string, news: string): void {
    this.#probes.delete(field)
    this.#hear(field, news)
  }

  /** Reads what is known to the others. @throws whatever Redis says */
  async readAll(): Promise<void> {
    const { link, names } = this.#options
    const all = await link.within(link.readAll(names.states))
    for (const [field, news] of Object.entries(all)) this.#hear(field, news)
  }

  #hear(field: string, text: string): void {
    const { pool, link } = this.#options
    const key = this.#byField.get(field.split('.')[0]!)
    if (!key || key.standing.state === 'removed') return
    pool.hear(
      key,
      atMoments(JSON.parse(text) as News, at => link.toLocal(at)),
    )
  }

  /** Whether this process is the one that tries a key; else it asks to be. */
  #mayProbe(field: string, key: PooledKey): boolean {
    const { pool } = this.#options
    const now = pool.clock.now()
    const probe = this.#probes.get(field)
    if (probe && now < probe.until) return probe.state === 'granted'
    // Nobody has answered: better one request too many than none.
    if (probe?.state === 'asked') return true
    this.#probes.set(field, { state: 'asked', until: now + UNANSWERED })
    void this.#ask(field, key)
    return false
  }

  async #ask(field: string, key: PooledKey): Promise<void> {
    const { pool, link, names, me } = this.#options
    try {
      const granted = await link.within(link.claim(names.probe(field), me, PROBE), UNANSWERED)
      const now = pool.clock.now()
      if (this.#probes.get(field)?.state !== 'asked') return
      this.#probes.set(field, { state: granted ? 'granted' : 'taken', until: now + PROBE })
      // Looks again when the other has had its chance.
      if (!granted) setTimeout(() => pool.changed(key.quota), PROBE).unref()
    } catch (error) {
      this.#probes.set(field, { state: 'granted', until: pool.clock.now() + PROBE })
      this.#options.failed(error)
    }
    pool.changed(key.quota)
  }
}

function fieldOf(names: Names, key: PooledKey, news: News): string {
  switch (news.kind) {
    case 'cooling':
    case 'open':
      return names.part(names.quota(key.quota, key), news.part)
    case 'rejected':
    case 'disabled':
    case 'enabled':
      return names.key(key)
  }
}
