import type { Clock } from '../clock.js'
import { abortable, delay } from '../clock.js'
import { KeypoolError } from '../errors.js'
import type { AttemptTrace, Cause } from '../events.js'
import type { Exchange } from '../exchange.js'
import type { Call } from '../http/call.js'
import { becomesReplayable, canReplay } from '../http/call-body.js'
import { isConnectionFailure, neverConnected } from '../http/connection-failure.js'
import { exhaustedResponse, lastRefusal } from '../http/exhausted-response.js'
import type { BodyWatcher } from '../http/lazy-response.js'
import { makeWritable } from '../http/response-facts.js'
import { detach, peek } from '../http/take-in.js'
import { isError, isThenable } from '../platform.js'
import type { Engine } from '../pool/create-pool.js'
import type { Demand } from '../pool/demand.js'
import type { Lease } from '../pool/lease.js'
import { NoKeyInTime } from '../pool/scheduler.js'
import { hasWholeEvent } from '../signals/body-facts.js'
import { classify, needsBody } from '../signals/classify.js'
import { readLimits } from '../signals/limit-fields.js'
import type { Failure, Outcome } from '../signals/outcome.js'
import type { Provider } from '../signals/provider.js'
import { mayTellUsage, UsageReader, usageInFields } from '../signals/usage.js'
import type { Arrival } from './redirect.js'

/** What is left when keys have had their say: the caller's answer, or trouble that a retry may mend. */
export type Settled = Extract<Outcome, { kind: 'answer' | 'trouble' }> | Failure

export interface ScheduleOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly onExhausted: 'throw' | 'respond'
  readonly provider: Provider | undefined
  /** What the exchange asks of the pool. */
  demandOf(exchange: Exchange, patience: number): Demand
  readonly watchBody: BodyWatcher
  /** The longest that a call waits for keys, all its waits together, in milliseconds. */
  readonly patience: number
  /** The call's URL as events may show it. */
  urlOf(call: Call): string
}

/** The refusal that a request has last met, its body in memory. */
interface Refused {
  readonly response: Promise<Response>
  readonly keyId: string
  readonly cause: Cause
}

/** One attempt with one key, after redirects. */
export type Attempt = (exchange: Exchange, lease: Lease) => Promise<Arrival>

/** Longer bodies are not compared. */
const LONGEST_IDENTITY = 1_024

/** What tells two calls to one URL apart; `undefined` where that can't be told cheaply. */
function identityOf({ body }: Call): string | undefined {
  if (body.kind === 'none') return ''
  return body.kind === 'value' && typeof body.value === 'string' && body.value.length <= LONGEST_IDENTITY
    ? body.value
    : undefined
}

/** What was sent, as far as it is text: what a service gives back of it is not the service's own word. */
function textOf({ url, headers, body }: Call): string[] {
  const query = decodeURIComponentSafely(url.slice(url.indexOf('/', 8)))
  const sent = body.kind === 'value' ? body.value : body.kind === 'request' ? body.kept.bytes : ''
  const text =
    typeof sent === 'string' ? sent : ArrayBuffer.isView(sent) ? new TextDecoder().decode(sent) : String(sent ?? '')
  return [text, query, ...headers.values()]
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    // Not percent-encoded in any way that has a meaning.
    return text
  }
}

/** How long a body is, where its header says it. */
function lengthOf({ headers }: Response): number {
  return Number(headers.get('content-length') ?? 0) || 0
}

/** The tokens that an answer took, or who finds them in its body; `undefined` where it can't say. */
function usageOf({ headers }: Response): number | UsageReader | undefined {
  return usageInFields(headers) ?? (mayTellUsage(headers) ? new UsageReader(headers) : undefined)
}

/**
 * How often one call goes on after each key has refused it once, and none has said for how long: by then the guessed waits have grown
 * to seconds.
 */
const MAX_ROUNDS_WITHOUT_WAIT = 8

/**
 * The tokens that are to be settled. Reading what was made before (polling it, say) tells its tokens again and takes none,
 * unless the program's own `cost` says that it does; a request that was wrong took none.
 */
function usageFor({ method }: Call, response: Response, lease: Lease): number | UsageReader | undefined {
  if (response.status >= 400 && response.status < 500) return 0
  const isReading = method === 'GET' || method === 'HEAD'
  return response.ok && (!isReading || lease.hasReservedByCost) ? usageOf(response) : undefined
}

/** How many attempts of a call are listed at most. */
const MAX_TRACED = 100

/** Writes an attempt down that begins now; the function is to be called when it has come to an end. */
function startTrace(
  exchange: Exchange,
  keyId: string,
  clock: Clock,
): (end: Partial<Pick<AttemptTrace, 'status' | 'cause' | 'error'>>) => void {
  const from = clock.now()
  const wait = from - exchange.waitingSince
  return ({ status = null, cause = null, error = null }) => {
    const now = clock.now()
    exchange.waitingSince = now
    if (exchange.trace.length < MAX_TRACED)
      exchange.trace.push({ keyId, wait, duration: now - from, status, cause, error })
  }
}

/** A resource that can't be told from others is not closed: what is overloaded then may be anything. */
function ofNamedResource(outcome: Outcome, lease: Lease): Outcome {
  if (outcome.kind !== 'refused' || outcome.cause !== 'overload' || lease.resource !== '') return outcome
  return { kind: 'trouble', cause: 'overload', wait: outcome.wait, response: outcome.response }
}

/** What an attempt's outcome blames the key or the service for. */
function causeOf(outcome: Outcome): Cause | null {
  switch (outcome.kind) {
    case 'refused':
      return outcome.cause
    case 'invalid-key':
      return 'invalid-key'
    case 'trouble':
      return outcome.cause ?? null
    case 'answer':
      return null
  }
}

/** How much of a body is read to tell what it means, in bytes, and for how long, in milliseconds. */
const PEEK = { error: { bytes: 16 * 1024, patience: 750 }, success: { bytes: 4 * 1024, patience: 250 } }

/**
 * Finds a key and sends with it; goes on with the next for as long as keys are refused.
 *
 * That is no retry: it costs no backoff and no retry's budget. It ends, as a refused key is not usable until it is
 * back, and all waiting together is bounded by `maxWait`.
 */
export function schedule(options: ScheduleOptions): (attempt: Attempt) => (exchange: Exchange) => Promise<Settled> {
  const { engine, clock, onExhausted, provider, demandOf, watchBody, patience, urlOf } = options
  const { scheduler, health, counters, habits, incidents, lessons, emit } = engine

  async function read(response: Response, { call, signal }: Exchange): Promise<Outcome> {
    if (!needsBody(response, provider)) return classify(response, '', provider, clock.wallNow())
    const { bytes, patience } = response.status >= 400 ? PEEK.error : PEEK.success
    // An error that comes as a success is a small thing; the beginning of a large answer may say anything.
    const isStream = response.status < 400 && /event-stream/i.test(response.headers.get('content-type') ?? '')
    const until = new AbortController()
    const timeUp = delay(clock, patience, until.signal).then(
      () => false,
      () => false,
    )
    const {
      text,
      whole,
      response: again,
    } = await peek(response, bytes, isStream ? hasWholeEvent : undefined, reading =>
      abortable(clock, Promise.race([reading, timeUp]), signal),
    )
    until.abort()
    const counts = response.status >= 400 || whole || isStream
    return classify(again, counts ? text : '', provider, clock.wallNow(), () => textOf(call))
  }

  /**
   * Gives the lease back: at once, or at the end of the body where a limit counts requests at once. What was reserved in
   * tokens is settled when the answer says how many it took.
   */
  function endWithBody<Kind extends Settled>(outcome: Kind, lease: Lease | undefined, exchange: Exchange): Kind {
    if (!lease) return outcome
    if (outcome.kind === 'failed') {
      lease.end()
      return outcome
    }
    const { response } = outcome
    const { id: callId, call, signal } = exchange
    const usage = lease.holdsTokens ? usageFor(call, response, lease) : undefined
    if (typeof usage === 'number') {
      exchange.tokens = usage
      settle(lease, usage)
    }
    const reader = usage instanceof UsageReader ? usage : undefined
    if (!lease.holdsConcurrency) lease.end()
    if (!lease.holdsConcurrency && !reader) return outcome
    const end = () => {
      const tokens = reader?.total
      if (tokens !== undefined) {
        settle(lease, tokens)
        emit('tokens-settled', () => ({ callId, keyId: lease.key.id, part: lease.part?.name ?? null, tokens }))
      }
      lease.end()
    }
    const watch = { whole: end, cut: end, signal, aborts: clock.aborts }
    const watched = watchBody(response, reader ? { ...watch, chunk: bytes => reader.read(bytes) } : watch)
    return { ...outcome, response: watched }
  }

  function settle(lease: Lease, tokens: number): void {
    lease.settle(tokens)
    counters.tookTokens(lease.key.id, tokens)
  }

  /** Gives a refused lease back when the server has nothing more to send, and keeps what it said. */
  function setAside(response: Response, lease: Lease): Promise<Response> {
    const detached = detach(response)
    if (lease.holdsConcurrency) void detached.finally(() => lease.end())
    else lease.end()
    return detached
  }

  /** What a call gets that finds no key. */
  async function withoutKey(exchange: Exchange, reason: unknown, refused: Refused | undefined): Promise<Settled> {
    const last = await refused?.response
    if (KeypoolError.is(reason, 'ERR_CLOSED') && last) return { kind: 'answer', response: last }
    if (!(reason instanceof NoKeyInTime)) throw reason
    const error = engine.exhausted(reason.demand)
    if (onExhausted === 'respond') {
      exchange.exhausted = true
      const response = last
        ? lastRefusal(last, error, clock.wallNow())
        : exhaustedResponse(error, clock.wallNow(), provider?.errorShape)
      return { kind: 'answer', response }
    }
    if (last) error.response = makeWritable(last)
    throw error
  }

  return attempt =>
    async function schedule(exchange) {
      const { call } = exchange
      if (exchange.attempts === 0) habits.sent(call.method, call.url, identityOf(call), clock.now())
      let refused: Refused | undefined
      let refusedWithoutWait = 0
      for (;;) {
        let lease: Lease
        const from = clock.now()
        exchange.isWaiting = true
        try {
          const demand = demandOf(exchange, patience - exchange.waited)
          exchange.part = demand.part
          const lent = scheduler.acquire(demand)
          lease = isThenable<Lease>(lent) ? await lent : lent
          exchange.waited += clock.now() - from
          exchange.isWaiting = false
          engine.leased(lease)
        } catch (error) {
          exchange.waited += clock.now() - from
          return withoutKey(exchange, error, refused)
        }
        const keyId = lease.key.id
        if (refused && refused.keyId !== keyId) {
          const { keyId: previousKeyId, cause } = refused
          counters.rotated(previousKeyId)
          emit('key-rotated', () => ({
            ...{ callId: exchange.id, keyId, previousKeyId, cause, method: call.method, url: urlOf(call) },
          }))
        }
        exchange.attempts++
        exchange.keyId = keyId
        exchange.tokens = lease.reservedTokens
        const ended = startTrace(exchange, keyId, clock)

        let last: Lease | undefined = lease
        let outcome: Outcome
        let answeredAt = from
        try {
          const arrival = await attempt(exchange, lease)
          last = arrival.lease
          answeredAt = clock.now()
          // Another origin's answer, after a redirect, says nothing about the key.
          if (!last) {
            ended({ status: arrival.response.status })
            return { kind: 'answer', response: arrival.response }
          }
          lessons.clock.observe(arrival.response.headers, last.takenAt, clock.now())
          outcome = ofNamedResource(await read(arrival.response, exchange), last)
        } catch (error) {
          last?.end()
          ended({ error: isError(error) ? error.name : typeof error })
          if (exchange.signal?.aborted) throw exchange.signal.reason
          if (error instanceof NoKeyInTime) {
            // The key went away between two hops of a redirect: another may do.
            if (canReplay(call.body)) continue
            return withoutKey(exchange, error, refused)
          }
          // It was not the sending that failed, but the user's own `auth`.
          if (!lease.left) throw error
          counters.troubled(keyId)
          if (isConnectionFailure(error)) {
            const hasOther = health.endpointSaw(lease.key, 'unreachable')
            exchange.avoidedKeyId = keyId
            // What no server has seen may go to another, whatever it is.
            if (hasOther && neverConnected(error) && canReplay(call.body)) continue
          }
          return { kind: 'failed', error }
        }
        ended({ status: outcome.response.status, cause: causeOf(outcome) })
        switch (outcome.kind) {
          case 'answer':
            incidents.answered(outcome.response.status)
            counters.passed({ keyId, latency: clock.now() - last.takenAt, bytes: lengthOf(outcome.response) })
            health.succeeded(last, readLimits(outcome.response.headers, provider))
            health.endpointSaw(last.key, 'alive')
            return endWithBody(outcome, last, exchange)
          case 'trouble':
            if (outcome.cause) counters.refusal(keyId, outcome.cause)
            counters.troubled(keyId)
            health.endpointSaw(last.key, outcome.response.status >= 500 ? 'error' : 'alive')
            exchange.avoidedKeyId = keyId
            return endWithBody(outcome, last, exchange)
          case 'refused': {
            const { cause, scope, wait, ofTokens, response } = outcome
            counters.refusal(keyId, cause)
            health.refused(last, {
              scope,
              cause,
              wait,
              ofTokens,
              status: response.status,
              readings: readLimits(response.headers, provider),
            })
            break
          }
          case 'invalid-key':
            counters.refusal(keyId, 'invalid-key')
            // Keys that were in order are not used up one by one for what is hardly their fault: it is the answer.
            if (!health.rejected(last, outcome.response.status)) {
              return endWithBody({ kind: 'answer', response: outcome.response }, last, exchange)
            }
            break
        }
        // What can't be sent again has had its one chance: its answer is the caller's.
        if (!(await becomesReplayable(call.body)))
          return endWithBody({ kind: 'answer', response: outcome.response }, last, exchange)
        const cause = causeOf(outcome)!
        refused = { response: setAside(outcome.response, last), keyId, cause }
        // A refusal that comes in slowly is a wait like any other, and bounded with them.
        exchange.waited += clock.now() - answeredAt
        if (outcome.kind === 'refused' && outcome.wait === undefined) {
          // Nobody says for how long: asking again and again would only be one more reason to refuse.
          const { size } = engine.registry
          if (++refusedWithoutWait >= size + MAX_ROUNDS_WITHOUT_WAIT) {
            return withoutKey(exchange, new NoKeyInTime(demandOf(exchange, 0)), refused)
          }
        }
      }
    }
}
