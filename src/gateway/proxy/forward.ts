import type { IncomingMessage, ServerResponse } from 'node:http'
import type { PooledInit, RequestFinishedEvent } from 'fetch-keypool'
import { modelsNamed } from '../policies/models.js'
import { ask, NOTHING_SPENT, type Spent, type Visit } from '../policies/policy.js'
import { readRequestBody } from '../policies/request-body.js'
import { type WatchedResponse, watchTokens } from '../policies/watch-tokens.js'
import { type Problem, problemResponse } from '../problem.js'
import type { CallWatch, Watched } from './call-watch.js'
import { failure } from './failures.js'
import { forwardedHeaders, returnedHeaders, shownTokens, withoutCredentials } from './headers.js'
import { reply } from './reply.js'
import type { Route } from './route.js'
import { askForUsage, withoutUsage } from './stream-usage.js'
import { lengthOf, type TakenBody, takeBody } from './take-body.js'
import { destinationOf } from './upstream-url.js'
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
  /** How long a caller may read nothing of its answer, in milliseconds. */
  readonly patience: number
  addressOf(incoming: IncomingMessage): string
  served(served: Served): void
}

/** Sends callers' requests on with a key, once all policies let them pass, and their answers back. */
export function forwarder({ calls, patience, addressOf, served }: ForwardOptions) {
  return async function forward(route: Route, incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const startedAt = performance.now()
    const gone = new AbortController()
    const method = incoming.method!
    const rest = incoming.url!.slice(route.path.length)
    const question = rest.indexOf('?')
    const [path, search] = question < 0 ? [rest, ''] : [rest.slice(0, question), rest.slice(question)]
    const tokens = shownTokens(incoming.headers, search)
    const kept = withoutCredentials(search, tokens)
    const destination = destinationOf(route, path, kept)
    let body: TakenBody | undefined
    const take = async () => {
      if (!body && incoming.headers.expect) outgoing.writeContinue()
      body ??= await takeBody(incoming, visit.maxBody)
      return body
    }
    const visit: Visit = {
      ...{ route: route.path, method, address: addressOf(incoming), tokens, length: lengthOf(incoming) },
      ...{ path: destination?.path ?? path, readings: destination?.readings ?? [path] },
      ...{ body: undefined, models: [], unknownModel: undefined, caller: '', priority: 'auto' },
      ...{ maxBody: route.maxBody, fields: new Map(), answered: [], ended: [] },
      async readBody() {
        try {
          const taken = await take()
          const headers = { type: incoming.headers['content-type'], coding: incoming.headers['content-encoding'] }
          visit.body =
            taken.kind === 'none'
              ? { kind: 'none' }
              : readRequestBody(taken.kind === 'whole' ? taken.bytes : undefined, headers)
          const named = modelsNamed({
            ...{ method, paths: visit.readings, search: kept, body: visit.body, provider: route.provider },
          })
          visit.models = named.models
          visit.unknownModel = named.unknown
          return undefined
        } catch (error) {
          return failure(error)
        }
      },
    }
    const watched: Watched = { call: undefined }
    let answer: WatchedResponse | undefined
    let failed: unknown
    let isOver = false
    function answered(): void {
      for (const each of visit.answered.splice(0)) each()
    }
    function end(spent: Spent): void {
      if (isOver) return
      isOver = true
      answered()
      for (const each of visit.ended.splice(0)) each(spent)
    }
    whenOver(incoming, outgoing, () => {
      if (!outgoing.writableFinished) gone.abort(new Error('The caller has gone.'))
      // What was told till now was taken, whoever has heard the end of it; before that it is known when the call has ended.
      if (answer) end(answer.spentSoFar())
    })
    function finish(response: Response, problem: Problem | undefined): Promise<void> {
      answered()
      const { status } = response
      served({
        ...{ visit, status, duration: performance.now() - startedAt, problem, call: watched.call, error: failed },
      })
      const headers = returnedHeaders(status, response.headers, visit.fields)
      if (destination) route.hideKeys(headers, destination.url)
      // Whoever is answered before it has sent all, would send the rest to nobody.
      if (!incoming.complete && incoming.httpVersionMajor < 2) headers.connection = 'close'
      return reply(response, headers, outgoing, patience)
    }
    async function send(): Promise<Response> {
      const taken = await take()
      if (route.countsTokens && !visit.body) await visit.readBody()
      const asking = route.countsTokens && visit.body && askForUsage(visit.body, route.provider, destination!.path)
      const sent: TakenBody = asking ? { kind: 'whole', bytes: asking } : taken
      const headers = forwardedHeaders(incoming.rawHeaders, tokens)
      const response = await calls.run(watched, () =>
        call(route, destination!.url, method, headers, sent, visit, gone.signal),
      )
      if (visit.ended.length > 0) {
        answer = watchTokens(response, { method, fromCache: watched.call?.fromCache ?? false }, end)
        if (gone.signal.aborted) end(answer.spentSoFar())
      }
      const shown = answer?.response ?? response
      const isStream = /event-stream/i.test(shown.headers.get('content-type') ?? '')
      if (!asking || !isStream || !shown.body) return shown
      return new Response(shown.body.pipeThrough(withoutUsage()), { status: shown.status, headers: shown.headers })
    }

    try {
      const problem = destination ? await ask(route.policies, visit, gone.signal) : BAD_PATH
      if (problem) {
        end(NOTHING_SPENT)
        return await finish(problemResponse(problem), problem)
      }
      const taken = await take()
      if (taken.kind !== 'none' && (method === 'GET' || method === 'HEAD')) {
        end(NOTHING_SPENT)
        return await finish(problemResponse(NO_BODY), NO_BODY)
      }
      await finish(await send(), undefined)
    } catch (error) {
      // What was sent, and not answered, may have been served all the same.
      end(watched.call && watched.call.keyId !== null ? { kind: 'unknown', atLeast: 0 } : NOTHING_SPENT)
      failed = error
      if (gone.signal.aborted || outgoing.headersSent) {
        const duration = performance.now() - startedAt
        if (gone.signal.aborted) {
          served({ visit, status: 499, duration, problem: undefined, call: watched.call, error: undefined })
        }
        outgoing.destroy()
        return
      }
      const problem = failure(error)
      await finish(problemResponse(problem), problem)
    }
  }
}

const BAD_PATH: Problem = { status: 400, type: 'bad-path', title: 'The path leads out of its route, or might' }
const NO_BODY: Problem = { status: 400, type: 'no-body', title: 'A request with this method has no body' }

function call(
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
