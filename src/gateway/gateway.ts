import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import type { KeyPoolEvents, PooledFetch } from 'fetch-keypool'
import { parseDuration } from '../duration.js'
import { InvalidOptionError, KeypoolError } from '../errors.js'
import { ALERT_EVENTS, type GatewayConfig } from './config/config.js'
import { prepare } from './config/prepare.js'
import { connectRedis } from './connect-redis.js'
import { createLog } from './monitor/log.js'
import type { Served as Counted } from './monitor/metrics.js'
import { Doorkeeper } from './operator/access.js'
import { application, type Bindings } from './operator/application.js'
import { FailedTokens } from './operator/failed-tokens.js'
import { knownToken } from './policies/authentication.js'
import { callerAddress } from './proxy/address.js'
import { CallWatch } from './proxy/call-watch.js'
import { forwarder, type Served } from './proxy/forward.js'
import { isForeignPage, isLocal } from './proxy/own-page.js'
import { refuseForeign } from './proxy/refuse-foreign.js'
import { createUpstream } from './proxy/upstream.js'
import { underWayOn, whenOver } from './proxy/when-over.js'
import { serverFor } from './server.js'
import { createSetup, type Setup } from './setup.js'
import { Desk } from './siblings/desk.js'
import { withPartsOfLimits, withPartsOfPolicies } from './siblings/parts.js'
import { ALONE, type Siblings } from './siblings/siblings.js'
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

/** A setup, and the router for all that is no pool. */
interface Running extends Setup {
  readonly app: ReturnType<typeof application>
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
  const exchanges = new AsyncLocalStorage<{ readonly route: string; readonly outgoing: ServerResponse }>()
  const desk = new Desk({
    ...{ siblings, isShared: redis !== undefined },
    routes: () => setup.routes,
    served: path => counted.get(path) ?? NOTHING,
    tallies: policy => setup.budgets.get(policy),
    senders: () => setup.alerts,
  })
  let setup = build(first, undefined)
  desk.open()

  function build(whole: GatewayConfig, before: Setup | undefined): Running {
    const parts = withPartsOfPolicies(whole, size, index)
    const config = redis ? parts : withPartsOfLimits(parts, size, index)
    const made = createSetup({
      ...{ config, before, fetch: upstream.fetch, kept: state.tallies, warn: log.warn },
      sharing: path => redis?.sharing ?? state.book.sharing(path),
    })
    for (const { path, fetch } of made.made) {
      calls.observe(fetch)
      observe(path, fetch)
    }
    for (const [name, tallies] of made.budgets) desk.share(name, tallies)
    state.keep(made.readTallies)
    const operators = (config.operator?.tokens ?? []).map(hash => knownToken(hash.slice(0, 'sha256:'.length + 8), hash))
    const isOwn = (incoming: IncomingMessage) => isFromHere(incoming) && !isForeignPage(incoming)
    const app = application({
      ...{ config, desk, addressOf, closing: closing.signal },
      door: new Doorkeeper({ operators, addressOf, isFromHere: isOwn, failed }),
      acted: action => log.event('info', action, 'operator'),
      failed: error => log.event('error', { error: error.message }, 'failed'),
    })
    return { ...made, app }
  }

  function observe(path: string, { pool }: PooledFetch): void {
    const on = pool.on.bind(pool) as (name: keyof KeyPoolEvents, listener: (event: object) => void) => void
    for (const event of ALERT_EVENTS) {
      on(event, payload => {
        log.event(event === 'key-recovered' ? 'info' : 'warn', { event, route: path, ...payload }, event)
        desk.alert({ event, route: path, ...payload })
      })
    }
    for (const event of ['sharing-degraded', 'sharing-restored'] as const) {
      on(event, payload => log.event('warn', { event, route: path, ...payload }, event))
    }
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
    // Whoever asks and asks, and waits for no answer, would be kept in memory.
    if (incoming.httpVersionMajor < 2) {
      if (underWayOn(incoming) >= PIPELINED) incoming.socket.destroy()
      if (incoming.socket.destroyed) return
    }
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

/** Each process keeps what it has found out for itself. */
function stateOf({ state }: GatewayConfig, { index }: Siblings): string | undefined {
  return state === undefined || index === 0 ? state : `${state}.${index}`
}

/** So many requests may stand in line on one connection of HTTP/1.1. */
const PIPELINED = 100

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
