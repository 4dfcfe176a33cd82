import type { IncomingMessage, ServerResponse } from 'node:http'
import type { GatewayConfig } from '../config/config.js'
import { Hono } from '../hono.js'
import { problemResponse } from '../problem.js'
import type { Desk } from '../siblings/desk.js'
import type { Doorkeeper } from './access.js'
import { type Action, operatorApi, page } from './api.js'

export type Bindings = { incoming: IncomingMessage; outgoing: ServerResponse }

export interface ApplicationOptions {
  readonly config: GatewayConfig
  readonly door: Doorkeeper
  readonly desk: Desk
  readonly closing: AbortSignal
  addressOf(incoming: IncomingMessage): string
  acted(action: Action): void
  failed(error: Error): void
}

/** All that is no pool: health, metrics, the operator's page and what it asks. */
export function application(options: ApplicationOptions): Hono<{ Bindings: Bindings }> {
  const { config, door, desk, closing, addressOf, acted, failed } = options
  const app = new Hono<{ Bindings: Bindings }>()
  const incomingOf = (context: unknown) => (context as { env: Bindings }).env.incoming

  app.get('/health', context => context.json({ status: 'ok' }))
  app.get('/ready', context =>
    closing.aborted ? context.json({ status: 'closing' }, 503) : context.json({ status: 'ready' }),
  )
  if (config.metrics !== false) {
    app.get('/metrics', async context => {
      const access = door.mayLook(incomingOf(context))
      if (access.kind === 'refused') return problemResponse(access.problem)
      const headers = { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }
      return context.text(await desk.metrics(), 200, headers)
    })
  }
  if (config.dashboard !== false) {
    app.get('/__keypool', context => context.redirect('/__keypool/'))
    app.get('/__keypool/', page)
  }
  app.route(
    '/__keypool',
    operatorApi({
      ...{ door, dashboard: config.dashboard !== false, closing, incomingOf, addressOf, acted },
      overview: () => desk.overview(),
      change: each => desk.change(each),
    }),
  )
  app.all('*', () => problemResponse({ status: 404, type: 'no-route', title: 'No route has this path' }))
  app.onError(error => {
    failed(error)
    return problemResponse({ status: 500, type: 'failed', title: 'The gateway has failed' })
  })
  return app
}
