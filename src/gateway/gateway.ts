import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AddressInfo, isIP } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { KeyPoolEvents, PooledFetch } from 'fetch-keypool'
import { parseDuration } from '../duration.js'
import { InvalidOptionError, KeypoolError } from '../errors.js'
import { ALERT_EVENTS, type GatewayConfig } from './config/config.js'
import { prepare } from './config/prepare.js'
import { connectRedis } from './connect-redis.js'
import { Hono } from './hono.js'
import { type Alert, type AlertSender, alertSender } from './monitor/alerts.js'
import { createLog } from './monitor/log.js'
import { type Served as Counted, metricsText } from './monitor/metrics.js'
import { Doorkeeper } from './operator/access.js'
import { operatorApi, page } from './operator/api.js'
import { type Change, change } from './operator/change.js'
import { FailedTokens } from './operator/failed-tokens.js'
import { type Overview, overviewOf } from './operator/overview.js'
import { knownToken } from './policies/authentication.js'
import type { KeptTallies, Tallies } from './policies/counters.js'
import { createPolicies, type PolicyBook } from './policies/create-policies.js'
import { problemResponse } from './problem.js'
import { callerAddress, isPrivate, ranges } from './proxy/address.js'
import { CallWatch } from './proxy/call-watch.js'
import { forwarder, type Served } from './proxy/forward.js'
import { isForeignPage, isLocal } from './proxy/own-page.js'
import { createRoute, type Route, traitsOf } from './proxy/route.js'
import { createUpstream } from './proxy/upstream.js'
import { whenOver } from './proxy/when-over.js'
import { serverFor } from './server.js'
import { mergeMetrics, mergeOverviews } from './siblings/merge.js'
import { withPartsOfLimits, withPartsOfPolicies } from './siblings/parts.js'
import { ALONE, type Question, type SiblingNews, type Siblings, type Spending } from './siblings/siblings.js'
import { openStateFile } from './state/state-file.js'

/** A running gateway. */
export interface Gateway {
  /** Listens. @returns its own URL */
  listen(): Promise<string>
  /** The pool of a route, for whoever made the gateway in code. */
  pool(path: string): PooledFetch
  /**
   * Goes on with another configuration: routes that are the same keep their pools; others get new ones that know what the
   * old ones had found out. Where it listens and its bounds stay as they are.
   *
   * @throws whatever is wrong with it; the old one stays
   */
  reload(config: GatewayConfig): Promise<void>
  /**
   * Ends the exchange in which an error was thrown that nobody has caught, and no other.
   *
   * @returns whether it was thrown in one
   */
  contain(error: unknown): boolean
  /** Takes no more requests, lets those on their way end (up to `server.drain`), writes the state, and ends. */
  close(): Promise<void>
}

type Bindings = { incoming: IncomingMessage; outgoing: ServerResponse }

/** All that follows from one configuration. */
interface Setup {
  readonly config: GatewayConfig
  readonly routes: ReadonlyMap<string, Route>
  /** The longest paths first. */
  readonly paths: readonly string[]
  readonly alerts: readonly AlertSender[]
  readonly isTrusted: (address: string) => boolean
  /** The policies, by what they were made of. */
  readonly book: PolicyBook
  /** What policies count, by their names. */
  readonly budgets: ReadonlyMap<string, Tallies | undefined>
  /** What budgets have counted, by their names. */
  readonly readTallies: () => Record<string, KeptTallies>
  readonly app: Hono<{ Bindings: Bindings }>
}

/**
 * Makes a gateway: pools of keys behind HTTP, for programs in any language, with policies before them.
 *
 * @param given - as in a file; texts may hold `${NAME}` and `file:path`
 * @param siblings - the same gateway in other processes; by default there are none
 * @throws InvalidOptionError, KeypoolError with `ERR_CONFIG`
 */
export async function createGateway(given: GatewayConfig, siblings: Siblings = ALONE): Promise<Gateway> {
  const first = prepare(given)
  if ((first.workers ?? 1) > 1 && siblings === ALONE) {
    const expected = '1: in code a gateway is one process; fetch-keypool gateway runs several'
    throw new InvalidOptionError('workers', expected, String(first.workers))
  }
  const { host = '127.0.0.1', port = 8787 } = first.listen ?? {}
  const log = createLog(first.log)
  const calls = new CallWatch()
  const state = openStateFile(stateOf(first, siblings), log.warn)
  const redis = first.redis === undefined ? undefined : await connectRedis(first.redis)
  const counted = new Map<string, Counted>()
  const closing = new AbortController()
  const failed = new FailedTokens()
  let underWay = 0
  let whenIdle: (() => void) | undefined

  const upstream = createUpstream({
    allowPrivate: first.allowPrivateUpstreams ?? false,
    silence: parseDuration(first.server?.stallTimeout ?? '10m')!,
  })
  const { size, index } = siblings
  const outbox: Spending[] = []
  const exchanges = new AsyncLocalStorage<{ readonly route: string; readonly outgoing: ServerResponse }>()
  let setup = build(first, undefined)
  siblings.listen(asked, told)

  function build(whole: GatewayConfig, before: Setup | undefined): Setup {
    const policed = withPartsOfPolicies(whole, size, index)
    const config = redis ? policed : withPartsOfLimits(policed, size, index)
    const alerts = (config.alerts ?? []).map(each => alertSender(each, log.warn))
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
        const route = createRoute(
          path,
          each,
          upstream.fetch,
          redis?.sharing ?? state.book.sharing(path),
          policies,
          books,
        )
        made.push(route)
        refusePrivate(route, config)
        routes.set(path, route)
      }
    } catch (error) {
      for (const { fetch } of made) void fetch.close()
      throw error
    }
    for (const { path, fetch } of made) {
      calls.observe(fetch)
      observe(path, fetch)
    }
    const budgets = new Map(
      [...routes.values()].flatMap(route => route.policies).map(each => [each.name, each.tallies] as const),
    )
    const kept = before ? before.readTallies() : state.tallies
    const readTallies = () => {
      return Object.fromEntries([...budgets].flatMap(([name, tallies]) => (tallies ? [[name, tallies.read()]] : [])))
    }
    const isOld = new Set(before?.book.values())
    for (const policy of [...routes.values()].flatMap(route => route.policies)) {
      if (policy.tallies && !isOld.has(policy)) {
        policy.tallies.restore(kept[policy.name] ?? {})
        isOld.add(policy)
      }
    }
    for (const [policy, tallies] of budgets) {
      if (!tallies || size === 1) continue
      tallies.processes = size
      tallies.onSpent = (name, unit, units) => spent({ policy, name, unit, units })
    }
    state.keep(readTallies)
    const isTrusted = ranges(config.trustedProxies ?? [])
    const paths = [...routes.keys()].sort((a, b) => b.length - a.length)
    const partial = { config, routes, paths, alerts, isTrusted, readTallies, book, budgets }
    return { ...partial, app: application(partial) }
  }

  function observe(path: string, { pool }: PooledFetch): void {
    const on = pool.on.bind(pool) as (name: keyof KeyPoolEvents, listener: (event: object) => void) => void
    for (const event of ALERT_EVENTS) {
      on(event, payload => {
        log.event(event === 'key-recovered' ? 'info' : 'warn', { event, route: path, ...payload }, event)
        alert({ event, route: path, ...payload })
      })
    }
    for (const event of ['sharing-degraded', 'sharing-restored'] as const) {
      on(event, payload => log.event('warn', { event, route: path, ...payload }, event))
    }
  }

  /** Alerts go out from one process, which knows what it has told already. */
  function alert(each: Alert & Record<string, unknown>): void {
    if (index > 0) siblings.tell({ kind: 'alert', alert: each })
    else for (const sender of setup.alerts) sender.send(each)
  }

  /** Tells the others what was used, several times at once. */
  function spent(each: Spending): void {
    outbox.push(each)
    if (outbox.length > 1) return
    setTimeout(() => siblings.tell({ kind: 'spent', spent: outbox.splice(0) }), TOGETHER).unref()
  }

  function told(news: SiblingNews): void {
    switch (news.kind) {
      case 'alert':
        if (index === 0) alert(news.alert as Alert & Record<string, unknown>)
        return
      case 'spent':
        for (const { policy, name, unit, units } of news.spent) setup.budgets.get(policy)?.hear(name, unit, units)
    }
  }

  async function asked(question: Question): Promise<unknown> {
    switch (question.kind) {
      case 'overview':
        return ownOverview()
      case 'metrics':
        return ownMetrics()
      case 'change':
        return (await change(setup.routes, question)).status
    }
  }

  const ownOverview = () => [...setup.routes.values()].map(({ path, fetch }) => overviewOf(path, fetch))
  const ownMetrics = () =>
    metricsText(
      [...setup.routes.values()].map(({ path, fetch }) => ({ path, fetch, served: counted.get(path) ?? NOTHING })),
    )

  async function overview(): Promise<Overview[]> {
    const own = ownOverview()
    if (size === 1) return own
    const others = ((await siblings.ask({ kind: 'overview' })) as Overview[][]).flat()
    return own.map(each =>
      mergeOverviews([each, ...others.filter(({ path }) => path === each.path)], redis !== undefined),
    )
  }

  async function changeAll(each: Change): Promise<Response> {
    const answer = change(setup.routes, each)
    if (answer.ok) await siblings.ask({ kind: 'change', ...each })
    return answer
  }

  /** Lets a pool go when those that were on their way to it, or in its line, have been answered. */
  function retire(path: string, fetch: PooledFetch): void {
    const look = () => {
      const { waiting, inFlight } = fetch.pool.stats()
      if (waiting + inFlight > 0 && !closing.signal.aborted) setTimeout(look, 100).unref()
      else fetch.close().catch((error: Error) => log.warn(`${path}: ${error.message}`))
    }
    look()
  }

  function addressOf(incoming: IncomingMessage): string {
    const forwarded = incoming.headers['x-forwarded-for']
    return callerAddress(
      incoming.socket.remoteAddress ?? '',
      Array.isArray(forwarded) ? forwarded.join() : forwarded,
      setup.isTrusted,
    )
  }

  function isFromHere(incoming: IncomingMessage): boolean {
    const { headers, socket } = incoming
    return isLocal({ headers }, addressOf(incoming), setup.isTrusted(socket.remoteAddress ?? ''))
  }

  function served(each: Served): void {
    let counts = counted.get(each.visit.route)
    if (!counts) {
      counts = { answers: new Map(), refusals: new Map() }
      counted.set(each.visit.route, counts)
    }
    counts.answers.set(each.status, (counts.answers.get(each.status) ?? 0) + 1)
    const policy = each.problem?.policy
    if (policy !== undefined) counts.refusals.set(policy, (counts.refusals.get(policy) ?? 0) + 1)
    state.changed()
    log.served(each)
  }
  const forward = forwarder({
    ...{ calls, addressOf, served },
    patience: parseDuration(first.server?.idleTimeout ?? '65s')!,
  })

  function application({ config }: Omit<Setup, 'app'>): Hono<{ Bindings: Bindings }> {
    const app = new Hono<{ Bindings: Bindings }>()
    const operators = (config.operator?.tokens ?? []).map(hash => knownToken(hash.slice(0, 'sha256:'.length + 8), hash))
    const isOwn = (incoming: IncomingMessage) => isFromHere(incoming) && !isForeignPage(incoming)
    const door = new Doorkeeper({ operators, addressOf, isFromHere: isOwn, failed })
    const incomingOf = (context: unknown) => (context as { env: Bindings }).env.incoming

    app.get('/health', context => context.json({ status: 'ok' }))
    app.get('/ready', context => {
      const isReady = !closing.signal.aborted
      return context.json({ status: isReady ? 'ready' : 'closing' }, isReady ? 200 : 503)
    })
    if (config.metrics !== false) {
      app.get('/metrics', async context => {
        const access = door.mayLook(incomingOf(context))
        if (access.kind === 'refused') return problemResponse(access.problem)
        const others = (await siblings.ask({ kind: 'metrics' })) as string[]
        const text = size === 1 ? ownMetrics() : mergeMetrics([ownMetrics(), ...others], redis !== undefined)
        return context.text(text, 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
      })
    }
    if (config.dashboard !== false) {
      app.get('/__keypool', context => context.redirect('/__keypool/'))
      app.get('/__keypool/', page)
    }
    app.route(
      '/__keypool',
      operatorApi({
        ...{ door, overview, change: changeAll, dashboard: config.dashboard !== false },
        ...{ incomingOf, addressOf, closing: closing.signal },
        acted: action => log.event('info', action, 'operator'),
      }),
    )
    app.all('*', () => problemResponse({ status: 404, type: 'no-route', title: 'No route has this path' }))
    app.onError(error => {
      log.event('error', { error: error.message }, 'failed')
      return problemResponse({ status: 500, type: 'failed', title: 'The gateway has failed' })
    })
    return app
  }

  /** What is for a pool goes straight there: all else, which is rare, to the router. */
  function serve(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { url } = incoming
    if (!url?.startsWith('/')) {
      outgoing.writeHead(400, incoming.httpVersionMajor < 2 ? { connection: 'close' } : {}).end()
      return
    }
    if (closing.signal.aborted && incoming.httpVersionMajor < 2) outgoing.setHeader('connection', 'close')
    // Whatever goes wrong with either is seen where it is read or written; there it must not be missed by anybody.
    incoming.on('error', () => {})
    outgoing.on('error', () => {})
    const path = setup.paths.find(each => isUnder(url, each))
    if (path === undefined) {
      void listener(incoming, outgoing)
      return
    }
    underWay++
    whenOver(incoming, outgoing, () => {
      if (--underWay === 0) whenIdle?.()
    })
    const route = setup.routes.get(path)!
    if (route.isOpen && (isForeignPage(incoming) || !isFromHere(incoming))) {
      refuseForeign(incoming, outgoing)
      return
    }
    exchanges.run({ route: path, outgoing }, () => {
      forward(route, incoming, outgoing).catch((error: Error) => {
        log.event('error', { error: error.message, route: path }, 'failed')
        outgoing.destroy()
      })
    })
  }
  const listener = getRequestListener((request, env) => setup.app.fetch(request, env as Bindings), {
    overrideGlobalObjects: false,
  })
  const server = serverFor(first, serve)

  async function drain(milliseconds: number): Promise<void> {
    const idle =
      underWay === 0
        ? Promise.resolve()
        : new Promise<void>(resolve => {
            whenIdle = resolve
          })
    server.closeIdle()
    let timer: NodeJS.Timeout | undefined
    await Promise.race([
      idle,
      new Promise(resolve => {
        timer = setTimeout(resolve, milliseconds)
      }),
    ])
    clearTimeout(timer)
    server.closeAll()
  }

  return {
    listen: () =>
      new Promise((resolve, reject) => {
        if (closing.signal.aborted) return reject(new KeypoolError('ERR_CLOSED', 'This gateway was closed.'))
        server.listener.once('error', error => {
          reject(new KeypoolError('ERR_CONFIG', `listen: ${error.message}.`, { cause: error }))
        })
        server.listener.listen(port, host, () => {
          const { address, port: actual } = server.listener.address() as AddressInfo
          resolve(
            `${first.listen?.tls ? 'https' : 'http'}://${address.includes(':') ? `[${address}]` : address}:${actual}`,
          )
        })
      }),
    pool(path) {
      const route = setup.routes.get(path)
      if (!route) throw new KeypoolError('ERR_CONFIG', `There is no route '${path}'.`)
      return route.fetch
    },
    async reload(next) {
      const config = prepare(next, host)
      const before = setup
      server.renew(config.listen?.tls)
      setup = build(config, before)
      for (const name of FIXED) {
        if (JSON.stringify(fixed(config, name)) !== JSON.stringify(fixed(first, name)))
          log.warn(`'${name}' is read at the start only.`)
      }
      const kept = new Set([...setup.routes.values()].map(({ fetch }) => fetch))
      for (const { path, fetch } of before.routes.values()) if (!kept.has(fetch)) retire(path, fetch)
    },
    contain(error) {
      const exchange = exchanges.getStore()
      if (!exchange) return false
      const { message, stack } = (error ?? {}) as Partial<Error>
      log.event('error', { error: message ?? String(error), stack, route: exchange.route }, 'failed')
      exchange.outgoing.destroy()
      return true
    },
    async close() {
      if (closing.signal.aborted) return
      closing.abort()
      const ended = new Promise<void>(resolve => server.stop(resolve))
      await drain(parseDuration(first.server?.drain ?? '30s')!)
      await Promise.all([...setup.routes.values()].map(({ fetch }) => fetch.close()))
      await state.flush()
      await Promise.race([
        Promise.all(setup.alerts.map(each => each.flush())),
        new Promise(resolve => setTimeout(resolve, 2_000).unref()),
      ])
      redis?.close()
      await upstream.close()
      if (server.listener.listening) await ended
      log.flush()
    },
  }
}

/** Where nobody is asked for a token, only programs on this machine are served, and no pages of others in its browser. */
function refuseForeign(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const title = 'Without a policy of authentication only programs on this machine are served, by a loopback address'
  const body = JSON.stringify({ type: 'urn:fetch-keypool:foreign-page', title, status: 403 })
  const connection = incoming.complete || incoming.httpVersionMajor >= 2 ? {} : { connection: 'close' }
  outgoing.writeHead(403, {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    ...connection,
  })
  outgoing.end(body)
}

/** A private address that stands in the configuration itself would answer every request with 502. */
function refusePrivate({ path, base }: Route, { allowPrivateUpstreams = false }: GatewayConfig): void {
  const host = new URL(base.origin).hostname.replace(/^\[|\]$/g, '')
  const isLocalName = host === 'localhost' || host.endsWith('.localhost')
  if (!isLocalName && (isIP(host) === 0 || !isPrivate(host))) return
  const isAllowed = allowPrivateUpstreams === true
  const allowed = Array.isArray(allowPrivateUpstreams) ? ranges(allowPrivateUpstreams) : () => false
  if (isAllowed || (isLocalName ? allowed('127.0.0.1') || allowed('::1') : allowed(host))) return
  const expected = "a public address, or its range in 'allowPrivateUpstreams'"
  throw new InvalidOptionError(`routes.${path}.upstream`, expected, `'${host}'`)
}

/** Each process keeps what it has found out for itself. */
function stateOf({ state }: GatewayConfig, { index }: Siblings): string | undefined {
  return state === undefined || index === 0 ? state : `${state}.${index}`
}

/** What processes tell each other of is collected for so long, in milliseconds. */
const TOGETHER = 20

/** What a running gateway can't change. */
const FIXED = ['listen', 'workers', 'server', 'log', 'state', 'redis', 'allowPrivateUpstreams'] as const

/** Certificates are what may change of where it listens. */
function fixed(config: GatewayConfig, name: (typeof FIXED)[number]): unknown {
  return name === 'listen' ? { ...config.listen, tls: config.listen?.tls !== undefined } : config[name]
}

const NOTHING: Counted = { answers: new Map(), refusals: new Map() }

function isUnder(url: string, path: string): boolean {
  if (!url.startsWith(path)) return false
  const next = url[path.length]
  return next === undefined || next === '/' || next === '?'
}
