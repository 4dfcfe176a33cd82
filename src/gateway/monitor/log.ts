import type { RequestFinishedEvent } from 'fetch-keypool'
import pino from 'pino'
import { KeypoolError } from '../../errors.js'
import type { GatewayConfig } from '../config/config.js'
import { openToAppend } from '../private-file.js'
import type { Served } from '../proxy/forward.js'

/** What the gateway writes: one JSON line for each request, event and warning. */
export interface GatewayLog {
  served(served: Served): void
  event(level: 'debug' | 'info' | 'warn' | 'error', fields: object, message: string): void
  warn(message: string): void
  info(message: string): void
  flush(): void
}

const QUIET: GatewayLog = { served() {}, event() {}, warn() {}, info() {}, flush() {} }

/**
 * Writes to a file, or to stdout. A request's line has no fields of the caller's and no query, so that no token can be in
 * it. Of successful requests a share is written, of others all.
 */
export function createLog(options: GatewayConfig['log']): GatewayLog {
  if (options === false) return QUIET
  const { file, level = 'info', sample = 1 } = options ?? {}
  let isBroken = false
  const destination = pino.destination({
    fd: file === undefined ? 1 : openLog(file),
    sync: false,
    retryEAGAIN: () => false,
  })
  destination.on('error', (error: Error) => {
    // A full disk, a reader that has gone: requests go on, unwritten.
    if (!isBroken) process.stderr.write(`The log can't be written (${error.message}): nothing more is.\n`)
    isBroken = true
    logger.level = 'silent'
  })
  const logger = pino({ level, base: undefined, redact: ['*.authorization', '*.value', '*.token'] }, destination)
  return {
    served({ visit, status, duration, problem, call, error }) {
      const isFine = status < 400
      if (isFine && sample < 1 && Math.random() >= sample) return
      const { route, method, path, address, caller, models } = visit
      logger[isFine ? 'info' : status >= 500 ? 'error' : 'warn'](
        {
          ...{ route, method, path, status, duration: Math.round(duration * 10) / 10, address },
          ...(caller === '' ? {} : { caller }),
          ...(models.length === 0 ? {} : { model: models.join(' ') }),
          ...(call && decisionsOf(call)),
          ...(problem ? { problem: problem.type, policy: problem.policy } : {}),
          ...(error === undefined ? {} : { error: messageOf(error) }),
        },
        'request',
      )
    },
    event: (level, fields, message) => logger[level](fields, message),
    warn: message => logger.warn(message),
    info: message => logger.info(message),
    flush() {
      if (isBroken) return
      try {
        destination.flushSync()
      } catch {
        // Nothing was written yet: sonic-boom throws where its file is not open.
      }
    },
  }
}

/** What the pool has decided for a request: which keys it was sent with, what came of each time, and what it waited. */
function decisionsOf({ callId, keyId, part, tokens, waited, fromCache, trace }: RequestFinishedEvent): object {
  return { callId, keyId, part, tokens, waited, fromCache, trace }
}

/** @throws KeypoolError with `ERR_CONFIG` for a file that can't be written */
function openLog(file: string): number {
  try {
    return openToAppend(file)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason = code === 'ELOOP' ? 'it is a symbolic link, which is not followed' : message
    throw new KeypoolError('ERR_CONFIG', `log.file: ${reason}.`, { cause: error })
  }
}

/** What went wrong, and what was underneath. */
function messageOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string } }
  return [message ?? String(error), cause?.message].filter(Boolean).join(': ')
}
