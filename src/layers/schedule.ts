import type { Clock } from '../clock.js'
import { delay } from '../clock.js'
import { KeypoolError } from '../errors.js'
import type { Cause } from '../events.js'
import type { Exchange } from '../exchange.js'
import type { Call } from '../http/call.js'
import { canReplay } from '../http/call-body.js'
import { exhaustedResponse } from '../http/exhausted-response.js'
import { discard, peek, watchBody } from '../http/response.js'
import type { Engine } from '../pool/create-pool.js'
import type { Demand } from '../pool/demand.js'
import type { Lease } from '../pool/lease.js'
import { classify, needsBody } from '../signals/classify.js'
import type { Failure, Outcome } from '../signals/outcome.js'
import type { Arrival } from './redirect.js'

/** What is left when keys have had their say: the caller's answer, or trouble that a retry may mend. */
export type Settled = Extract<Outcome, { kind: 'answer' | 'trouble' }> | Failure

export interface ScheduleOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly onExhausted: 'throw' | 'respond'
  /** What the exchange asks of the pool. */
  demandOf(exchange: Exchange, patience: number): Demand
  readonly maxWait: number
  /** The call's URL as events may show it. */
  urlOf(call: Call): string
}

/** One attempt with one key, after redirects. */
export type Attempt = (exchange: Exchange, lease: Lease) => Promise<Arrival>

/** How much of a body is read to tell what it means, in bytes, and for how long, in milliseconds. */
const PEEK = { bytes: 16 * 1024, patience: 2_000 }

/**
 * Finds a key and sends with it; goes on with the next for as long as keys are refused.
 *
 * That is no retry: it costs no backoff and no retry's budget. It ends, as a refused key is not usable until it is
 * back, and all waiting together is bounded by `maxWait`.
 */
export function schedule(options: ScheduleOptions): (attempt: Attempt) => (exchange: Exchange) => Promise<Settled> {
  const { engine, clock, onExhausted, demandOf, maxWait, urlOf } = options
  const { scheduler, health, counters, emit } = engine

  async function borrow(exchange: Exchange): Promise<Lease> {
    const lease = scheduler.acquire(demandOf(exchange, maxWait - exchange.waited))
    if (!(lease instanceof Promise)) return lease
    const from = clock.now()
    try {
      return await lease
    } finally {
      exchange.waited += clock.now() - from
    }
  }

  async function read(response: Response): Promise<Outcome> {
    if (!needsBody(response)) return classify(response, '', clock.now())
    const until = new AbortController()
    const timeUp = delay(clock, PEEK.patience, until.signal).then(
      () => false,
      () => false,
    )
    const { text, response: whole } = await peek(response, PEEK.bytes, reading =>
      Promise.race([
        reading.then(
          () => true,
          () => true,
        ),
        timeUp,
      ]),
    )
    until.abort()
    return classify(whole, text, clock.now())
  }

  /** Holds the lease to the end of the body where a limit counts requests at once; gives it back at once elsewhere. */
  function endWithBody<Kind extends Settled>(outcome: Kind, lease: Lease | undefined): Kind {
    if (!lease) return outcome
    if (!lease.holdsConcurrency || outcome.kind === 'failed') {
      lease.end()
      return outcome
    }
    const end = () => lease.end()
    return { ...outcome, response: watchBody(outcome.response, { whole: end, cut: end }) }
  }

  return attempt =>
    async function schedule(exchange) {
      const { call } = exchange
      let refused: { response: Response; keyId: string; cause: Cause } | undefined
      for (;;) {
        let lease: Lease
        try {
          lease = await borrow(exchange)
        } catch (error) {
          if (KeypoolError.is(error, 'ERR_POOL_EXHAUSTED') && onExhausted === 'respond') {
            exchange.exhausted = true
            return { kind: 'answer', response: refused?.response ?? exhaustedResponse(error, clock.now()) }
          }
          if (refused) void discard(refused.response)
          throw error
        }
        const keyId = lease.key.id
        if (refused && refused.keyId !== keyId) {
          const { keyId: previousKeyId, cause } = refused
          counters.rotations++
          emit('key-rotated', () => ({ keyId, previousKeyId, cause, method: call.method, url: urlOf(call) }))
        }
        if (refused) void discard(refused.response)
        refused = undefined
        exchange.attempts++
        exchange.keyId = keyId

        let arrival: Arrival
        let outcome: Outcome
        try {
          arrival = await attempt(exchange, lease)
          // Another origin's answer, after a redirect, says nothing about the key.
          outcome = arrival.lease ? await read(arrival.response) : { kind: 'answer', response: arrival.response }
        } catch (error) {
          lease.end()
          if (exchange.signal?.aborted) throw exchange.signal.reason
          // It was not the sending that failed: the user's own `auth`, or the wait for a redirect's permit.
          if (!lease.left || KeypoolError.is(error, 'ERR_POOL_EXHAUSTED')) throw error
          return { kind: 'failed', error }
        }
        const last = arrival.lease
        if (!last) return outcome as Settled
        switch (outcome.kind) {
          case 'answer':
            health.succeeded(last)
            return endWithBody(outcome, last)
          case 'trouble':
            if (outcome.cause) counters.refusal(keyId, outcome.cause)
            return endWithBody(outcome, last)
          case 'refused': {
            const { cause, wait, response } = outcome
            counters.refusal(keyId, cause)
            health.refused(last, { cause, wait, status: response.status })
            break
          }
          case 'invalid-key':
            counters.refusal(keyId, 'invalid-key')
            health.rejected(last, outcome.response.status)
            break
        }
        last.end()
        // What can't be sent again has had its one chance: its answer is the caller's.
        if (!canReplay(call.body)) return { kind: 'answer', response: outcome.response }
        refused = {
          response: outcome.response,
          keyId,
          cause: outcome.kind === 'refused' ? outcome.cause : 'invalid-key',
        }
        if (onExhausted === 'throw') void discard(outcome.response)
      }
    }
}
