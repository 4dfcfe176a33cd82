import { KeypoolError } from '../../errors.js'
import type { Problem } from '../problem.js'
import { BodyTooLarge } from './take-body.js'

/** Statuses of what goes wrong behind the gateway. */
const FAILURES: Readonly<Record<string, readonly [status: number, type: string, title: string]>> = {
  ERR_TIMEOUT: [504, 'timeout', 'The service did not answer in time'],
  ERR_CLOSED: [503, 'closing', 'The gateway is closing'],
  ERR_KEYS_UNAVAILABLE: [503, 'no-keys', 'There are no keys'],
  ERR_COST_EXCEEDS_LIMIT: [413, 'too-costly', 'The request costs more than any key may ask'],
}

/** What a caller is told of an error; what is wrong with the configuration is the operator's to know: see the log. */
export function failure(error: unknown): Problem {
  const { cause } = (error ?? {}) as { cause?: unknown }
  if (error instanceof BodyTooLarge || cause instanceof BodyTooLarge) {
    return { status: 413, type: 'body-too-large', title: 'The body is too large' }
  }
  const known = KeypoolError.is(error) ? FAILURES[error.code] : undefined
  if (known) return { status: known[0], type: known[1], title: known[2] }
  if (KeypoolError.is(error)) return { status: 500, type: 'misconfigured', title: 'The route is not set up right' }
  if (KeypoolError.is(cause, 'ERR_ADDRESS_NOT_ALLOWED')) {
    const title = 'The service is at an address that is not public'
    return { status: 502, type: 'upstream-address', title, detail: "see 'allowPrivateUpstreams'" }
  }
  if (!(error instanceof TypeError) || error.message !== 'fetch failed') {
    return { status: 500, type: 'failed', title: 'The gateway has failed' }
  }
  const code = (cause as { code?: unknown } | undefined)?.code
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return failure(new KeypoolError('ERR_TIMEOUT', ''))
  return {
    ...{ status: 502, type: 'unreachable', title: 'The service could not be reached' },
    detail: typeof code === 'string' ? code : undefined,
  }
}
