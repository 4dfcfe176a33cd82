import type { IncomingMessage } from 'node:http'
import { KeypoolError } from 'fetch-keypool'
import { InvalidOptionError } from '../../errors.js'
import { Hono } from '../hono.js'
import { type Problem, problemResponse } from '../problem.js'
import type { Route } from '../proxy/route.js'
import type { Doorkeeper } from './access.js'
import { asset } from './assets.js'
import { overviewOf } from './overview.js'

/** How often the page is told what there is, in milliseconds. */
const BEAT = 1_000

/** Something that an operator has done. */
export interface Action {
  readonly action: string
  readonly route: string
  readonly keyId: string | undefined
  readonly operator: string | undefined
  readonly address: string
  readonly status: number
}

export interface ApiOptions {
  routes(): ReadonlyMap<string, Route>
  readonly door: Doorkeeper
  /** Told of each action, for the log. */
  acted(action: Action): void
  incomingOf(context: unknown): IncomingMessage
  addressOf(incoming: IncomingMessage): string
  readonly dashboard: boolean
  readonly closing: AbortSignal
}

const UNKNOWN: Problem = { status: 404, type: 'not-found', title: 'There is no such thing here' }
/** Nothing from elsewhere runs in the page, and nobody frames it. */
const PAGE_HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
}

const FILES = [
  ['app.js', 'text/javascript'],
  ['style.css', 'text/css'],
  ['uplot.js', 'text/javascript'],
  ['uplot.css', 'text/css'],
] as const

function file(name: Parameters<typeof asset>[0], type: string): Response {
  return new Response(asset(name), { headers: { 'content-type': `${type}; charset=utf-8`, ...PAGE_HEADERS } })
}

/** The page itself: nothing in it is secret, what it shows is asked for. */
export function page(): Response {
  return file('index.html', 'text/html')
}

/** What the operator sees and does, under `/__keypool`. */
export function operatorApi(options: ApiOptions): Hono<{ Variables: { operator: string | undefined } }> {
  const { routes, door, acted, incomingOf, addressOf, dashboard, closing } = options
  const app = new Hono<{ Variables: { operator: string | undefined } }>()

  if (dashboard) {
    for (const [name, type] of FILES) app.get(`/${name}`, () => file(name, type))
  }

  app.use('/api/*', async (context, next) => {
    const incoming = incomingOf(context)
    const search = context.req.path.endsWith('/api/live') ? new URL(context.req.url).search : ''
    const access = context.req.method === 'GET' ? door.mayLook(incoming, search) : door.mayAct(incoming)
    if (access.kind === 'refused') return problemResponse(access.problem)
    context.set('operator', access.operator)
    context.header('cache-control', 'no-store')
    return next()
  })

  const overview = () => ({
    mayAct: door.hasOperator,
    at: new Date(),
    routes: [...routes().values()].map(({ path, fetch }) => overviewOf(path, fetch)),
  })
  app.get('/api/overview', context => context.json(overview()))
  app.get(
    '/api/live',
    () =>
      new Response(live(overview, closing), {
        headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
      }),
  )

  /** Finds the route, does the thing, and says what the keys are then. */
  const act = (path: string, doIt: (route: Route) => unknown): Response => {
    const route = routes().get(path)
    if (!route) return problemResponse({ ...UNKNOWN, title: `There is no route ${path}` })
    try {
      doIt(route)
      return Response.json({ keys: route.fetch.pool.keys() })
    } catch (error) {
      if (KeypoolError.is(error, 'ERR_UNKNOWN_KEY')) return problemResponse({ ...UNKNOWN, title: error.message })
      if (KeypoolError.is(error, 'ERR_INVALID_OPTION')) {
        return problemResponse({ status: 400, type: 'invalid', title: error.message })
      }
      throw error
    }
  }
  const routeOf = (text: string | undefined) => `/${text ?? ''}`
  app.get('/api/keys/:route{.+}', context => act(routeOf(context.req.param('route')), () => {}))
  app.post('/api/keys/:route{.+}', async context => {
    const given = (await context.req.json().catch(() => undefined)) as
      | { id?: unknown; key?: unknown; action?: unknown }
      | undefined
    const route = routeOf(context.req.param('route'))
    const id = typeof given?.id === 'string' ? given.id : undefined
    const answer = change(route, id, given?.action, given?.key)
    const incoming = incomingOf(context)
    acted({
      ...{ action: typeof given?.action === 'string' ? given.action.slice(0, 20) : 'unknown', route, keyId: id },
      ...{ operator: context.get('operator'), address: addressOf(incoming), status: answer.status },
    })
    return answer
  })
  function change(route: string, id: string | undefined, action: unknown, key: unknown): Response {
    switch (action) {
      case 'add':
        return act(route, ({ fetch, origins }) => {
          const { baseUrl } = (key ?? {}) as { baseUrl?: unknown }
          if (baseUrl !== undefined && !isWithin(baseUrl, origins)) {
            throw new InvalidOptionError('key.baseUrl', `a URL of ${origins.join(' or ')}`, 'another')
          }
          return fetch.pool.add(key as string)
        })
      case 'remove':
        return act(route, ({ fetch }) => fetch.pool.remove(id ?? ''))
      case 'disable':
        return act(route, ({ fetch }) => fetch.pool.disable(id ?? ''))
      case 'enable':
        return act(route, ({ fetch }) => fetch.pool.enable(id ?? ''))
      case 'reset':
        return act(route, ({ fetch }) => fetch.pool.reset(id))
      default: {
        const title = "'action' is add (with 'key'), remove, disable, enable (with 'id') or reset"
        return problemResponse({ status: 400, type: 'invalid', title })
      }
    }
  }
  app.all('*', () => problemResponse(UNKNOWN))
  return app
}

function isWithin(url: unknown, origins: readonly string[]): boolean {
  return typeof url === 'string' && URL.canParse(url) && origins.includes(new URL(url).origin)
}

/** What there is, as server-sent events, once a second, for as long as somebody listens. */
function live(overview: () => unknown, closing: AbortSignal): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  let end = () => {}
  return new ReadableStream({
    start(controller) {
      const tell = () => {
        // A reader that is slow gets the next one.
        if ((controller.desiredSize ?? 1) <= 0) return
        controller.enqueue(encoder.encode(`data: ${JSON.stringify(overview())}\n\n`))
      }
      const timer = setInterval(tell, BEAT)
      timer.unref()
      const close = () => {
        end()
        controller.close()
      }
      end = () => {
        clearInterval(timer)
        closing.removeEventListener('abort', close)
      }
      closing.addEventListener('abort', close, { once: true })
      tell()
    },
    cancel: () => end(),
  })
}
