import pRetry from 'p-retry'
import { abortable, type Clock, delay } from '../clock.js'
import { KeypoolError } from '../errors.js'
import type { Exchange } from '../exchange.js'
import type { Call } from '../http/call.js'
import { becomesReplayable } from '../http/call-body.js'
import { isConnectionFailure } from '../http/connection-failure.js'
import { discard } from '../http/take-in.js'
import { isError } from '../platform.js'
import type { Engine } from '../pool/create-pool.js'
import { RetryBudget } from '../pool/retry-budget.js'
import type { RetrySettings } from '../settings.js'
import type { Settled } from './schedule.js'

export interface RetryLayerOptions {
  readonly engine: Engine
  readonly clock: Clock
  /** `undefined`: never. */
  readonly retry: RetrySettings | undefined
  readonly maxWait: number
  urlOf(call: Call): string
}

type Transient = Extract<Settled, { kind: 'trouble' | 'failed' }>

/** Carries a transient failure through p-retry, which tells failures by what is thrown. */
class TransientFailure extends Error {
  readonly outcome: Transient

  constructor(outcome: Transient) {
    super('transient failure')
    this.outcome = outcome
  }
}

/** Sends again what failed for a while, where that is safe; the last answer is the caller's, whatever it says. */
export function retry(
  options: RetryLayerOptions,
): (next: (exchange: Exchange) => Promise<Settled>) => (exchange: Exchange) => Promise<Response> {
  const { engine, clock, retry: settings, maxWait, urlOf } = options
  const budget = settings?.budget === undefined ? undefined : new RetryBudget(settings.budget, clock.now())

  /** Whether it is a failure that may be tried again at all; how often is p-retry's to count. */
  function isRetried(settings: RetrySettings, { call }: Exchange, outcome: Settled): outcome is Transient {
    if (outcome.kind === 'answer')
      return settings.statuses?.has(outcome.response.status) === true && isSafe(settings, call)
    if (outcome.kind === 'failed' && !isTransient(outcome.error)) return false
    if (outcome.kind === 'trouble' && settings.statuses && !settings.statuses.has(outcome.response.status)) return false
    return isSafe(settings, call)
  }

  async function backOff(
    settings: RetrySettings,
    exchange: Exchange,
    outcome: Transient,
    retries: number,
  ): Promise<boolean> {
    const { call } = exchange
    const serverWait = outcome.kind === 'trouble' ? (outcome.wait ?? 0) : 0
    if (engine.scheduler.isClosed) return false
    // Coming back before the server wants it is no use to anyone: its answer stands.
    if (serverWait > maxWait) return false
    const response = outcome.kind === 'failed' ? undefined : outcome.response
    const error = outcome.kind === 'failed' ? outcome.error : undefined
    const context = { method: call.method, url: urlOf(call), retry: retries + 1, status: response?.status ?? null }
    if (settings.shouldRetry) {
      // Of the program's own, it may take as long as it likes, but not longer than the call.
      const asked = Promise.resolve(settings.shouldRetry({ ...context, error: error ?? null }))
      if (!(await abortable(clock, asked, exchange.signal))) return false
    }
    if (budget && !budget.take(clock.now())) {
      engine.counters.retriesOverBudget++
      return false
    }
    const backoff = Math.min(settings.maxDelay, settings.minDelay * settings.factor ** retries)
    const wait = Math.round(Math.max(serverWait, backoff * (1 - Math.random() / 2)))
    engine.counters.retried(exchange.keyId ?? '')
    engine.emit('request-retried', () => ({
      ...context,
      callId: exchange.id,
      keyId: exchange.keyId ?? '',
      delay: wait,
      error: error === undefined ? null : isError(error) ? error.message : String(error),
    }))
    // Within bounds of size and time: it may hold a permit that the retry needs.
    if (response) void discard(response)
    await delay(clock, wait, exchange.signal)
    return true
  }

  return next =>
    async function retry(exchange) {
      const first = await next(exchange)
      // p-retry costs more than all the rest of a call that goes well: it is entered when one has not.
      if (!settings || !isRetried(settings, exchange, first)) {
        if (first.kind === 'answer') budget?.succeeded()
        return finish(first)
      }
      if (!(await becomesReplayable(exchange.call.body))) return finishUnreplayable(exchange.call, first)
      try {
        const settled = await pRetry(
          async attempt => {
            const outcome =
              attempt === 1 ? first : await next(exchange).catch((reason: unknown) => ({ thrown: reason }))
            if (!('thrown' in outcome) && isRetried(settings, exchange, outcome)) throw new TransientFailure(outcome)
            return outcome
          },
          {
            retries: settings.retries,
            // The waiting is done in shouldRetry: by our clock, by the server's word, and ended by an abort.
            minTimeout: 0,
            shouldRetry: ({ error, retriesConsumed }) =>
              backOff(settings, exchange, (error as TransientFailure).outcome, retriesConsumed),
          },
        )
        // Not thrown inside: p-retry would put an error of its own in the place of a reason that is none.
        if ('thrown' in settled) throw settled.thrown
        if (settled.kind === 'answer') budget?.succeeded()
        return finish(settled)
      } catch (error) {
        if (error instanceof TransientFailure) return finish(error.outcome)
        throw error
      }
    }
}

/** Whether trying again may help. */
function isTransient(error: unknown): boolean {
  return KeypoolError.is(error) ? error.code === 'ERR_TIMEOUT' : isConnectionFailure(error)
}

function isSafe(settings: RetrySettings, { method, headers }: Call): boolean {
  return settings.methods.has(method) || headers.has('idempotency-key')
}

function finish(outcome: Settled): Response {
  if (outcome.kind === 'failed') throw outcome.error
  return outcome.response
}

/** Who says that a request may be sent twice is told why it was not; else the failure is what it is. */
function finishUnreplayable({ headers }: Call, outcome: Transient): Response {
  if (outcome.kind !== 'failed' || !headers.has('idempotency-key')) return finish(outcome)
  const message =
    'The attempt failed, and its body cannot be sent again: it is a stream, or a Request with more than replay.maxBytes.'
  throw new KeypoolError('ERR_BODY_NOT_REPLAYABLE', message, { cause: outcome.error })
}
