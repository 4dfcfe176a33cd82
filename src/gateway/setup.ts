import type { PooledFetch, Sharing } from 'fetch-keypool'
import type { GatewayConfig } from './config/config.js'
import { type AlertSender, alertSender } from './monitor/alerts.js'
import type { KeptTallies, Tallies } from './policies/counters.js'
import { createPolicies, type PolicyBook } from './policies/create-policies.js'
import { ranges } from './proxy/address.js'
import { refusePrivate } from './proxy/refuse-private.js'
import { createRoute, type Route, traitsOf } from './proxy/route.js'

/** All that follows from one configuration. */
export interface Setup {
  readonly config: GatewayConfig
  readonly routes: ReadonlyMap<string, Route>
  /** Routes whose pools are new. */
  readonly made: readonly Route[]
  /** The longest paths first. */
  readonly paths: readonly string[]
  readonly alerts: readonly AlertSender[]
  readonly isTrusted: (address: string) => boolean
  /** The policies, by what they were made of. */
  readonly book: PolicyBook
  /** What policies count, by their names. */
  readonly budgets: ReadonlyMap<string, Tallies>
  /** What budgets have counted, by their names. */
  readTallies(): Record<string, KeptTallies>
}

export interface SetupOptions {
  readonly config: GatewayConfig
  /** What there was. */
  readonly before: Setup | undefined
  readonly fetch: typeof globalThis.fetch
  sharing(path: string): Sharing
  /** What budgets had counted before there was anything. */
  readonly kept: Readonly<Record<string, KeptTallies>>
  warn(message: string): void
}

/** Makes pools and policies; those that are declared as they were go on with what they have counted. @throws InvalidOptionError */
export function createSetup({ config, before, fetch, sharing, kept, warn }: SetupOptions): Setup {
  const alerts = (config.alerts ?? []).map(each => alertSender(each, warn))
  const book: PolicyBook = new Map()
  const books = { before: before?.book, book }
  const policies = createPolicies(config.policies ?? [], undefined, before?.book, book)
  const routes = new Map<string, Route>()
  const made: Route[] = []
  try {
    for (const [path, each] of Object.entries(config.routes)) {
      const known = before?.routes.get(path)
      const traits = traitsOf(path, each, policies, books)
      // What was stored while others could see it is not for those who may now.
      if (known && known.made === JSON.stringify(each) && known.seenBy === traits.seenBy) {
        routes.set(path, { ...known, ...traits })
        continue
      }
      const route = createRoute(path, each, fetch, sharing(path), policies, books)
      made.push(route)
      refusePrivate(route, config)
      routes.set(path, route)
    }
  } catch (error) {
    closeAll(made.map(route => route.fetch))
    throw error
  }
  const all = [...routes.values()].flatMap(route => route.policies)
  const budgets = new Map(all.flatMap(({ name, tallies }) => (tallies ? [[name, tallies] as const] : [])))
  restore(budgets, before?.budgets, before?.readTallies() ?? kept)
  return {
    ...{ config, routes, made, alerts, book, budgets },
    paths: [...routes.keys()].sort((a, b) => b.length - a.length),
    isTrusted: ranges(config.trustedProxies ?? []),
    readTallies: () => Object.fromEntries([...budgets].map(([name, tallies]) => [name, tallies.read()])),
  }
}

/** Budgets that are declared anew begin with what one of their name had counted. */
function restore(
  budgets: ReadonlyMap<string, Tallies>,
  before: ReadonlyMap<string, Tallies> | undefined,
  kept: Readonly<Record<string, KeptTallies>>,
): void {
  for (const [name, tallies] of budgets) if (before?.get(name) !== tallies) tallies.restore(kept[name] ?? {})
}

function closeAll(all: readonly PooledFetch[]): void {
  for (const fetch of all) void fetch.close()
}
