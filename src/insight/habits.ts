/** One request that was sent, and how often it was sent again. */
export interface Habit {
  readonly method: string
  readonly url: string
  readonly count: number
  /** Milliseconds from the first to the last. */
  readonly span: number
}

/** Repetitions of requests that were sent lately. */
export interface HabitsReading {
  /** Requests that were sent, and those of them that could have been cached. */
  readonly sent: number
  readonly gets: number
  /** How many of the GETs a cache would have saved, by how long it had kept answers: see `TTLS`. */
  readonly savedBy: readonly number[]
  /** What was sent most often. */
  readonly most: Habit | undefined
}

/** The lifetimes, in milliseconds, for which it is counted what they would have saved. */
export const TTLS = [10_000, 60_000, 600_000, 3_600_000] as const

/** How many different requests are remembered; the one that was not sent for longest is forgotten. */
const MOST = 512
/** What is older counts no more, in milliseconds. */
const LATELY = 3_600_000

interface Remembered {
  readonly method: string
  readonly url: string
  count: number
  firstAt: number
  lastAt: number
}

/** Remembers which requests are sent again and again, in a fixed space. */
export class Habits {
  readonly #requests = new Map<string, Remembered>()
  // Of this hour and of the one before it.
  #current = counts()
  #before = counts()
  #startedAt = 0

  /** @param body - what tells apart requests to one URL; `undefined` for one that cannot be told apart */
  sent(method: string, url: string, body: string | undefined, now: number): void {
    this.#roll(now)
    this.#current.sent++
    const isGet = method === 'GET' || method === 'HEAD'
    if (isGet) this.#current.gets++
    if (body === undefined) return
    const name = `${method} ${url} ${body}`
    const known = this.#requests.get(name)
    if (known) {
      this.#requests.delete(name)
      this.#requests.set(name, known)
      const gap = now - known.lastAt
      if (isGet) {
        TTLS.forEach((ttl, index) => {
          if (gap <= ttl) this.#current.savedBy[index]! += 1
        })
      }
      if (gap > LATELY) Object.assign(known, { count: 0, firstAt: now })
      known.count++
      known.lastAt = now
      return
    }
    if (this.#requests.size >= MOST) this.#requests.delete(this.#requests.keys().next().value!)
    this.#requests.set(name, { method, url, count: 1, firstAt: now, lastAt: now })
  }

  /** @param publicUrl - takes out of a URL what nobody is to see */
  read(now: number, publicUrl: (url: string) => string): HabitsReading {
    this.#roll(now)
    const both = [this.#current, this.#before]
    let most: Remembered | undefined
    for (const each of this.#requests.values()) {
      if (now - each.lastAt <= LATELY && each.count > (most?.count ?? 0)) most = each
    }
    return {
      sent: both.reduce((sum, { sent }) => sum + sent, 0),
      gets: both.reduce((sum, { gets }) => sum + gets, 0),
      savedBy: TTLS.map((_, index) => both.reduce((sum, { savedBy }) => sum + savedBy[index]!, 0)),
      most: most && {
        method: most.method,
        url: publicUrl(most.url),
        count: most.count,
        span: most.lastAt - most.firstAt,
      },
    }
  }

  #roll(now: number): void {
    if (now - this.#startedAt < LATELY) return
    this.#before = now - this.#startedAt < 2 * LATELY ? this.#current : counts()
    this.#current = counts()
    this.#startedAt = now
  }
}

function counts() {
  return { sent: 0, gets: 0, savedBy: TTLS.map(() => 0) }
}
