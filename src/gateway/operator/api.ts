import type { IncomingMessage } from 'node:http'
import { Hono } from '../hono.js'
import { type Problem, problemResponse } from '../problem.js'
import type { Doorkeeper } from './access.js'
import { asset } from './assets.js'
import type { Change } from './change.js'
import { live } from './live.js'
import type { Overview } from './overview.js'

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
  readonly door: Doorkeeper
  /** What there is, in all processes. */
  overview(): Promise<readonly Overview[]>
  /** Changes keys, in all processes. */
  change(change: Change): Promise<Response>
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
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
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

type Variables = { operator: string | undefined }

/** What the operator sees and does, under `/__keypool`. */
export function operatorApi(options: ApiOptions): Hono<{ Variables: Variables }> {
  const { door, change, acted, incomingOf, addressOf, dashboard, closing } = options
  const app = new Hono<{ Variables: Variables }>()

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

  const overview = async () => ({ mayAct: door.hasOperator, at: new Date(), routes: await options.overview() })
  app.get('/api/overview', async context => context.json(await overview()))
  app.get(
    '/api/live',
    () =>
      new Response(live(overview, closing), {
        headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' },
      }),
  )
  const routeOf = (text: string | undefined) => `/${text ?? ''}`
  app.get('/api/keys/:route{.+}', async context => {
    const path = routeOf(context.req.param('route'))
    const found = (await options.overview()).find(route => route.path === path)
    return found
      ? context.json({ keys: found.keys })
      : problemResponse({ ...UNKNOWN, title: `There is no route ${path}` })
  })
  app.post('/api/keys/:route{.+}', async context => {
    const given = (await context.req.json().catch(() => undefined)) as
      | { id?: unknown; key?: unknown; action?: unknown }
      | undefined
    const route = routeOf(context.req.param('route'))
    const id = typeof given?.id === 'string' ? given.id : undefined
    const action = given?.action === 'list' ? undefined : given?.action
    const answer = await change({ route, id, action, key: given?.key })
    acted({
      ...{ action: typeof action === 'string' ? action.slice(0, 20) : 'unknown', route, keyId: id },
      ...{ operator: context.get('operator'), address: addressOf(incomingOf(context)), status: answer.status },
    })
    return answer
  })
  app.all('*', () => problemResponse(UNKNOWN))
  return app
}
