import type { IncomingMessage, ServerResponse } from 'node:http'
import type { PooledInit, RequestFinishedEvent } from 'fetch-keypool'
import { KeypoolError } from '../../errors.js'
import { modelsNamed } from '../policies/models.js'
import { ask, type Visit } from '../policies/policy.js'
import { watchTokens } from '../policies/watch-tokens.js'
import { type Problem, problemResponse } from '../problem.js'
import type { CallWatch, Watched } from './call-watch.js'
import { forwardedHeaders, returnedHeaders, shownTokens, withoutCredentials } from './headers.js'
import { reply } from './reply.js'
import type { Route } from './route.js'
import { BodyTooLarge, lengthOf, type TakenBody, takeBody } from './take-body.js'
import { whenOver } from './when-over.js'

/** What came of a request, for the log. */
export interface Served {
  readonly visit: Visit
  readonly status: number
  /** Milliseconds till the answer's headers were there. */
  readonly duration: number
  readonly problem: Problem | undefined
  /** The call that the pool made of it; `undefined`: none. */
  readonly call: RequestFinishedEvent | undefined
  /** What went wrong, where it is no policy that refuses. */
  readonly error: unknown
}

export interface ForwardOptions {
  readonly calls: CallWatch
  addressOf(incoming: IncomingMessage): string
  served(served: Served): void
}

/** Statuses of what goes wrong behind the gateway. */
const FAILURES: Readonly<Record<string, readonly [number, string, string]>> = {
  ERR_TIMEOUT: [504, 'timeout', 'The service did not answer in time'],
  ERR_CLOSED: [503, 'closing', 'The gateway is closing'],
  ERR_KEYS_UNAVAILABLE: [503, 'no-keys', 'There are no keys'],
  ERR_COST_EXCEEDS_LIMIT: [413, 'too-costly', 'The request costs more than any key may ask'],
}

/** Sends callers' requests on with a key, once all policies let them pass, and their answers back. */
export function forwarder({ calls, addressOf, served }: ForwardOptions) {
  return async function forward(route: Route, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const startedAt = performance.now()
    const gone = new AbortController()
    const method = incoming.method!
    const rest = incoming.url!.slice(route.path.length)
    const question = rest.indexOf('?')
    const [path, search] = question < 0 ? [rest, ''] : [rest.slice(0, question), rest.slice(question)]
    const tokens = shownTokens(incoming.headers, search)
    const url = upstreamUrl(route, path, withoutCredentials(search, tokens))
    let body: TakenBody | undefined
    const take = async () => {
      if (!body && incoming.headers.expect) outgoing.writeContinue()
      body ??= await takeBody(incoming, visit.maxBody)
      return body
    }
    const visit: Visit = {
      route: route.path,
      method,
      // As it is sent: what is allowed is what is asked for.
      path: url ? url.pathname.slice(route.base.path.length) : path,
      address: addressOf(incoming),
      tokens,
      length: lengthOf(incoming),
      models: [],
      caller: '',
      priority: 'auto',
      maxBody: route.maxBody,
      fields: new Map(),
      answered: [],
      ended: [],
      spent: () => undefined,
      async findModel() {
        try {
          const taken = await take()
          const text = taken.kind === 'whole' ? new TextDecoder().decode(taken.bytes) : undefined
          visit.models = modelsNamed(text, incoming.headers['content-type'], visit.path, search)
          return undefined
        } catch (error) {
          return failure(error)
        }
      },
    }
    const watched: Watched = { call: undefined }
    let failed: unknown
    let isOver = false
    function end(spent: number | undefined): void {
      if (isOver) return
      isOver = true
      for (const each of visit.answered.splice(0)) each()
      for (const each of visit.ended) each(spent)
    }
    whenOver(incoming, outgoing, () => {
      if (!outgoing.writableFinished) gone.abort(new Error('The caller has gone.'))
      // What was told till now was taken, whoever has heard the end of it.
      end(visit.spent())
    })
    function tell(status: number, problem: Problem | undefined): void {
      const duration = performance.now() - startedAt
      served({ visit, status, duration, problem, call: watched.call, error: failed })
    }
    function finish(response: Response, problem: Problem | undefined): Promise<void> {
      for (const each of visit.answered.splice(0)) each()
      tell(response.status, problem)
      const headers = returnedHeaders(response.headers, visit.fields)
      if (url) route.hideKeys(headers, url)
      // Whoever is answered before it has sent all, would send the rest to nobody.
      if (!incoming.complete) headers.connection = 'close'
      return reply(
        response,
        headers,
        problem || visit.ended.length === 0 ? undefined : watchTokens(response, visit, end),
        outgoing,
      )
    }

    try {
      const problem = url ? await ask(route.policies, visit, gone.signal) : BAD_PATH
      if (problem) return await finish(problemResponse(problem), problem)
      const taken = await take()
      if (taken.kind !== 'none' && (method === 'GET' || method === 'HEAD'))
        return await finish(problemResponse(NO_BODY), NO_BODY)
      const headers = forwardedHeaders(incoming.rawHeaders, tokens)
      const sent = route.readsBodies ? plainly(headers) : headers
      await finish(
        await calls.run(watched, () => send(route, url!, method, sent, taken, visit, gone.signal)),
        undefined,
      )
    } catch (error) {
      if (gone.signal.aborted) {
        tell(499, undefined)
        return
      }
      const problem = failure(error)
      failed = error
      await finish(problemResponse(problem), problem)
    }
  }
}

const BAD_PATH: Problem = { status: 400, type: 'bad-path', title: 'The path leads out of its route' }
const NO_BODY: Problem = { status: 400, type: 'no-body', title: 'A request with this method has no body' }
/** Steps up, in a form that some servers see through and URLs don't. */
const HIDDEN_STEPS = /(?:^|\/|%2f|%5c|\\)\.{1,2}(?:%2f|%5c)|(?:%2f|%5c)\.{1,2}(?:$|\/|\\|%2f|%5c)/i

/** Where a request goes; `undefined` where its path would lead out of what the route is for. */
function upstreamUrl({ base }: Route, path: string, search: string): URL | undefined {
  let url: URL
  try {
    url = new URL(base.href + path + search)
  } catch {
    // Not a URL: `http://host` and then `:x`, say.
    return undefined
  }
  const { origin, path: within } = base
  if (url.origin !== origin || HIDDEN_STEPS.test(path.replace(/%2e/gi, '.'))) return undefined
  return within === '' || url.pathname === within || url.pathname.startsWith(`${within}/`) ? url : undefined
}

/** Where what comes back must be read, it must come unpacked. */
function plainly(headers: [string, string][]): [string, string][] {
  return [...headers.filter(([name]) => name !== 'accept-encoding'), ['accept-encoding', 'identity']]
}

function send(
  route: Route,
  url: URL,
  method: string,
  headers: [string, string][],
  body: TakenBody,
  { priority }: Visit,
  signal: AbortSignal,
): Promise<Response> {
  // Redirects are the caller's to follow, here or elsewhere: without a key.
  const init = { method, headers, signal, priority, redirect: 'manual' } as const
  switch (body.kind) {
    case 'none':
      return route.fetch(url, init)
    case 'whole':
      return route.fetch(url, { ...init, body: body.bytes as BodyInit })
    case 'stream': {
      // A request keeps what it has sent, up to a bound, so that it can be sent again with the next key.
      const { signal: _, ...rest } = init
      const request = new Request(url, { ...rest, body: body.stream, duplex: 'half' } as RequestInit)
      return route.fetch(request, { signal, priority } as PooledInit)
    }
  }
}

function failure(error: unknown): Problem {
  if (error instanceof BodyTooLarge || (error as Error | null)?.cause instanceof BodyTooLarge) {
    return { status: 413, type: 'body-too-large', title: 'The body is too large' }
  }
  const known = KeypoolError.is(error) ? FAILURES[error.code] : undefined
  if (known) return { status: known[0], type: known[1], title: known[2] }
  // What is wrong with the configuration is the operator's to know: see the log.
  if (KeypoolError.is(error)) return { status: 500, type: 'misconfigured', title: 'The route is not set up right' }
  const { cause } = error as { cause?: unknown }
  if (KeypoolError.is(cause, 'ERR_ADDRESS_NOT_ALLOWED')) {
    const title = 'The service is at an address that is not public'
    return { status: 502, type: 'upstream-address', title, detail: "see 'allowPrivateUpstreams'" }
  }
  if (!(error instanceof TypeError) || error.message !== 'fetch failed') {
    return { status: 500, type: 'failed', title: 'The gateway has failed' }
  }
  const code = (cause as { code?: unknown } | undefined)?.code
  return {
    ...{ status: 502, type: 'unreachable', title: 'The service could not be reached' },
    detail: typeof code === 'string' ? code : undefined,
  }
}
