import { type Clock, dateAt, thisMoment } from '../clock.js'
import { formatDuration } from '../duration.js'
import { type KeyCause, KeyPoolExhaustedError, KeypoolError } from '../errors.js'
import type { Emit, KeyPoolEvents, SharedRefusal } from '../events.js'
import { type Authoriser, createAuthoriser } from '../http/authorise.js'
import { publicUrl } from '../http/public-url.js'
import { Counters, type PoolStats } from '../insight/counters.js'
import { diagnose } from '../insight/diagnose.js'
import type { EndpointReading } from '../insight/diagnosis.js'
import { Habits } from '../insight/habits.js'
import { Incidents } from '../insight/incidents.js'
import { logLine } from '../insight/log.js'
import type { KeySnapshot } from '../key-snapshot.js'
import { Lessons } from '../learning/lessons.js'
import { createLimiter } from '../limiter/create-limiter.js'
import { departures } from '../limiter/departures.js'
import type { Weigh } from '../limiter/limiter.js'
import { permitBooks } from '../limiter/permit-book.js'
import { Transit } from '../limiter/transit.js'
import type { Settings } from '../settings.js'
import type { Membership } from '../sharing.js'
import { Blame } from './blame.js'
import type { Demand } from './demand.js'
import { type Closure, Gates } from './gates.js'
import { Health } from './health.js'
import { Hearsay } from './hearsay.js'
import { KeyPool } from './key-pool.js'
import { KeyRegistry } from './key-registry.js'
import { keySource } from './key-source.js'
import { Keyring } from './keyring.js'
import type { Lease } from './lease.js'
import { nearExhaustion } from './near-exhaustion.js'
import type { PooledKey } from './pooled-key.js'
import { previews } from './preview.js'
import { Recovery, type RecoveryHost } from './recovery.js'
import { Scheduler } from './scheduler.js'
import { conditionOf, snapshotOf } from './snapshot.js'

/** The parts of a pool, as the layers use them. */
export interface Engine {
  readonly pool: KeyPool
  readonly scheduler: Scheduler
  readonly health: Health
  readonly registry: KeyRegistry
  readonly counters: Counters
  readonly habits: Habits
  readonly incidents: Incidents
  readonly emit: Emit
  readonly lessons: Lessons
  /** Says which key a request would get, and when, without taking one. */
  readonly preview: ReturnType<typeof previews>
  /** Puts keys in and takes them out; `undefined` where `auth` is a function of the user's. */
  readonly authoriser: Authoriser | undefined
  /** A URL without whatever stands in a key's place. */
  strip(url: string): string
  /** A URL as events may show it. */
  publicUrlOf(url: string): string
  readonly traits: Traits
  /** Tells what there is to tell of a key that a call has got: in the context of that call. */
  leased(lease: Lease): void
  /** The error of a call that found no key; the first in a row is told to listeners as well. */
  exhausted(demand: Demand): KeyPoolExhaustedError
  /** Settles when there are keys; `undefined`: there are. @throws KeypoolError with `ERR_KEYS_UNAVAILABLE` */
  ready(): Promise<void> | undefined
  /** What tells the events of a call from those of others, also of other pools and processes. */
  nextCallId(): string
  /** What other processes have a part in; `undefined`: nothing. */
  readonly membership: Membership | undefined
  close(): void
}

/** What of the keys decides how calls are looked at; most pools have none of it. */
export interface Traits {
  /** How the keys' limits count tokens; empty where none does. */
  costs(): ReadonlySet<((request: Request) => number) | undefined>
  /** The least number of tokens at once that some key lets pass. */
  leastTokens(): number
  /** Whether some key has an endpoint of its own. */
  hasBaseUrls(): boolean
  someKey(predicate: (key: PooledKey) => boolean): boolean
}

/** How many keys' causes an error or event lists at most. */
const LISTED = 100

/** Calls that wait elsewhere until the line is shorter. */
export interface Beyond {
  readonly size: number
  admit(): void
}

/**
 * Builds a pool: the parts know each other through small hosts only, and all events pass through one place.
 *
 * @param beyond - those that wait behind the line
 */
export function createPool(settings: Settings, clock: Clock, beyond?: () => Beyond): Engine {
  const now = () => clock.now()
  const moment = () => thisMoment(clock)
  const openBook = permitBooks()
  const transit = new Transit()
  const lessons = new Lessons()
  const depart = departures(clock, lag => transit.lagged(lag))
  const counters = new Counters(moment)
  /** Whether it has been told that the pool is exhausted, since a key was last lent. */
  let toldExhausted = false

  const { logger } = settings
  const isHeard = (name: keyof KeyPoolEvents) =>
    pool.listenerCount(name) > 0 || (logger && logLine(logger, name)) !== undefined
  const emit: Emit = (name, payload) => {
    const log = logger && logLine(logger, name)
    const listeners = pool.listenerCount(name)
    if (listeners === 0 && !log) return
    const event = payload()
    for (const tell of [
      log,
      listeners > 0 && (() => (pool.emit as (name: string, event: unknown) => boolean)(name, event)),
    ]) {
      if (!tell) continue
      try {
        tell(event)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }

  const gates = new Gates()
  const blame = new Blame()
  const habits = new Habits()
  const incidents = new Incidents()
  const keyring = new Keyring({
    ...{ now, moment },
    strategy: settings.strategy,
    expired: key => health.disable(key, 'expired'),
    closed: (resources, at, hasFreshKey) => gates.closed(resources, at, hasFreshKey),
    admit: (resources, at, hasFreshKey) => gates.admit(resources, at, hasFreshKey),
    goes: (resources, at, admission) => gates.goes(resources, at, admission),
  })
  const scheduler = new Scheduler(keyring, {
    clock,
    taken(key) {
      toldExhausted = false
      counters.attempt(key.id)
      membership?.taken(key.quota)
    },
    lengthened: () => membership?.waiting(),
    shortened: () => beyond?.().admit(),
  })
  const host: RecoveryHost = {
    ...{ now, moment, emit, changed: () => scheduler.serve() },
    tell: (key, news) => membership?.tell(key, news),
  }
  const recovery = new Recovery(keyring, host)
  const health = new Health(keyring, gates, blame, recovery, { ...host, incidents, random: Math.random })
  const hearsay = new Hearsay(keyring, recovery, host)
  const isParted = settings.scope !== 'key'
  const registry = new KeyRegistry(keyring, health, (limits, quota, known) =>
    createLimiter(
      limits,
      openBook,
      {
        now,
        wallNow: () => clock.wallNow(),
        depart,
        transit,
        changed() {
          keyring.settleQuota(quota())
          scheduler.serve()
        },
      },
      lessons,
      // Where parts have limits of their own, they are what there is to find out.
      known ?? (limits.length > 0 || isParted),
    ),
  )
  const authoriser = typeof settings.auth === 'function' ? undefined : createAuthoriser(settings.auth)
  const strip = authoriser?.strip ?? ((url: string) => url)
  const publicUrlOf = (url: string) => publicUrl(url, strip, text => registry.isValue(text))
  const warnNear = nearExhaustion(emit, settings.alert, moment)
  const membership = settings.sharing?.join({
    ...{ clock, emit },
    purpose: settings.origins === '*' ? '*' : [...settings.origins].sort().join(' '),
    keys: () => keyring.values(),
    get waiting() {
      return scheduler.waiting + (beyond?.().size ?? 0)
    },
    get firstInLine() {
      return scheduler.firstInLine
    },
    changed(quota) {
      keyring.settleQuota(quota)
      scheduler.serve()
    },
    hear: (key, news) => hearsay.hear(key, news),
    crew(size, rank) {
      lessons.crew = { size, rank }
    },
  })
  if (membership) {
    registry.added = key => membership.added(key)
    registry.removed = key => membership.removed(key)
  }
  const source = keySource(settings, registry, () => scheduler.serve())

  const pool: KeyPool = new KeyPool({
    keys: snapshots,
    add(input) {
      const { id } = registry.add(settings.keys.readOne(input))
      scheduler.serve()
      return id
    },
    remove(id) {
      registry.remove(registry.find(id))
      counters.forget(id)
      scheduler.serve()
    },
    refresh: () => source.refresh(),
    disable: id => health.disable(registry.find(id), 'disabled'),
    enable: id => health.enable(registry.find(id)),
    reset(id) {
      for (const key of id === undefined ? keyring.values() : [registry.find(id)]) health.reset(key)
    },
    stats,
    diagnose: () =>
      diagnose({
        at: new Date(clock.wallNow()),
        stats: stats(),
        keys: snapshots(),
        habits: habits.read(now(), publicUrlOf),
        shared: [...blame.shared],
        unbelieved: blame.unbelieved,
        incidents: incidents.read(),
        endpoints: endpoints(),
      }),
  })

  function snapshots(): KeySnapshot[] {
    const here = moment()
    return [...keyring.values()].map(key => snapshotOf(key, here))
  }

  function endpoints(): EndpointReading[] {
    const keys = [...keyring.values()]
    const all = new Set(keys.flatMap(({ endpoint }) => endpoint ?? []))
    return [...all].map(endpoint => {
      const own = keys.filter(key => key.endpoint === endpoint)
      const url = publicUrlOf(own[0]!.baseUrl!.href)
      return {
        ...{ url, keyIds: own.map(({ id }) => id), failures: endpoint.failures, restsFor: endpoint.restsFor(now()) },
      }
    })
  }

  function stats(): PoolStats {
    let inFlight = 0
    for (const key of keyring.values()) inFlight += key.inFlight
    return counters.snapshot(scheduler.waiting + (beyond?.().size ?? 0), inFlight)
  }

  function exhausted({ callId, part, resources, weigh }: Demand): KeyPoolExhaustedError {
    const closure = gates.closure(resources, now())
    const retryAt = firstBack(part, weigh, closure)
    const causes = listCauses(part, weigh)
    const shared = closure ? sharedRefusal(closure) : null
    if (!toldExhausted) {
      toldExhausted = true
      emit('pool-exhausted', () => ({ callId, retryAt, shared, causes }))
    }
    return new KeyPoolExhaustedError(exhaustedMessage(retryAt, causes, shared), retryAt, causes, shared)
  }

  /** When the first key is back, as far as anyone knows: not when one of them is tried before that. */
  function firstBack(part: string, weigh: Weigh, closure: Closure | undefined): Date | null {
    const here = moment()
    let first = Number.POSITIVE_INFINITY
    for (const key of keyring.values()) {
      const { state, until } = conditionOf(key, here, part, weigh)
      if (state === 'ready') first = 0
      else if (until) first = Math.min(first, until.getTime())
    }
    const at = Math.max(first, closure ? dateAt(here, closure.until).getTime() : 0)
    return Number.isFinite(at) && at > 0 ? new Date(at) : null
  }

  function sharedRefusal({ cause, scope, name, since, until, keyIds }: Closure): SharedRefusal {
    const here = moment()
    const reach = scope === 'address' || scope === 'resource' ? scope : 'account'
    return { cause, scope: reach, name, since: dateAt(here, since), until: dateAt(here, until), keyIds }
  }

  function listCauses(part: string, weigh: Weigh): KeyCause[] {
    const here = moment()
    const causes: KeyCause[] = []
    for (const key of keyring.values()) {
      if (causes.length === LISTED) break
      const { cause, until } = conditionOf(key, here, part, weigh)
      causes.push({ keyId: key.id, cause: cause ?? lastRefusedFor(key, part), until })
    }
    return causes
  }

  function exhaustedMessage(retryAt: Date | null, causes: readonly KeyCause[], shared: SharedRefusal | null): string {
    if (keyring.size === 0) return 'The pool has no keys.'
    const held = keyring.hope(now()).kind === 'held'
    const when = retryAt
      ? `the first may be back at ${retryAt.toISOString()}`
      : held
        ? 'the first is free when a request on its way ends'
        : 'none comes back before someone acts, or a later request finds that it is good again'
    const why = shared ? sharedInWords(shared, keyring.size) : causesInWords(causes, keyring.size)
    return `No key is usable within maxWait (${formatDuration(settings.maxWait)}): ${why}; ${when}.`
  }

  /** Settles with the work, or after so many milliseconds without it; leaves no timer behind. */
  function withinTime(work: Promise<void>, milliseconds: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = clock.schedule(resolve, milliseconds)
      work.then(resolve, reject).finally(cancel)
    })
  }

  return {
    pool,
    scheduler,
    health,
    registry,
    counters,
    habits,
    incidents,
    emit,
    lessons,
    preview: previews({
      keyring,
      gates,
      moment,
      line: rank => ({
        size: scheduler.ahead(rank) + (rank === 0 ? 0 : (beyond?.().size ?? 0)),
        demands: scheduler.demandsAhead(rank),
      }),
    }),
    leased(lease) {
      if (isHeard('key-near-exhaustion')) warnNear(lease)
    },
    exhausted,
    authoriser,
    strip,
    publicUrlOf,
    traits: {
      costs: () => registry.costs,
      leastTokens: () => registry.leastTokens,
      hasBaseUrls: () => registry.hasBaseUrls,
      someKey: predicate => [...keyring.values()].some(predicate),
    },
    ready() {
      const others = membership?.ready()
      const keys = source.ready()
      // What others know is worth a part of the wait, and no call fails for want of it.
      const heard = others && withinTime(others, settings.maxWait / 2)
      return keys && heard ? Promise.all([keys, heard]).then(() => undefined) : (keys ?? heard)
    },
    nextCallId: callIds(),
    membership,
    close: () => scheduler.close(() => new KeypoolError('ERR_CLOSED', 'This fetch was closed.')),
  }
}

/** What a key was refused for of which nothing has shown yet that it is back. */
function lastRefusedFor({ quota }: PooledKey, part: string): KeyCause['cause'] {
  for (const lane of [quota, quota.parts.get(part)])
    if (lane && lane.cooldown.state !== 'open') return lane.cooldown.cause
  return null
}

/** How many keys a message names at most. */
const NAMED = 5

function causesInWords(causes: readonly KeyCause[], keys: number): string {
  const shown = causes.slice(0, NAMED).map(({ keyId, cause }) => `${keyId}: ${cause ?? 'at its limits'}`)
  const more = keys > shown.length ? `, and ${keys - shown.length} more` : ''
  return `${shown.join(', ')}${more}`
}

function sharedInWords({ scope, name, keyIds }: SharedRefusal, keys: number): string {
  const shown = keyIds.slice(0, NAMED)
  const more = keyIds.length > shown.length ? ` and ${keyIds.length - shown.length} more` : ''
  const what = name === null ? '' : ` for ‘${name}’`
  const whose =
    scope === 'account'
      ? `the keys seem to share one limit${what}`
      : scope === 'address'
        ? 'the service limits the address that all keys are used from'
        : `the service limits ${name === null ? 'what is asked' : `‘${name}’`}, whatever the key`
  return `${whose} (refused with ${shown.join(', ')}${more}; the pool has ${keys} ${keys === 1 ? 'key' : 'keys'})`
}

/** Ids of calls: a beginning at random for each pool, and a number. */
function callIds(): () => string {
  const pool = Math.random().toString(36).slice(2, 10)
  let calls = 0
  return () => `${pool}-${++calls}`
}
