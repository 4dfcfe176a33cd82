import { createHmac } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { parseDuration } from '../../duration.js'
import { ALERT_EVENTS, type AlertConfig, type AlertEvent } from '../config/config.js'

/** How long a receiver may take, in milliseconds, and how often it is tried again. */
const PATIENCE = 10_000
const RETRIES = 4
/** The first wait after a failure, in milliseconds; each further one is twice as long. */
const BACKOFF = 500
/** So many alerts wait for a receiver that does not answer; older ones are dropped. */
const MOST = 100

export interface Alert {
  readonly event: AlertEvent
  readonly route: string
  readonly keyId?: string | undefined
}

/** What sends alerts to one place. */
export interface AlertSender {
  send(alert: Alert): void
  /** Settles when what was to be sent is sent, or was tried often enough. */
  flush(): Promise<void>
}

/**
 * Sends alerts as signed JSON, one after another, each tried again with backoff where it fails. The same alert of the same
 * key is sent once in a while only.
 *
 * The signature covers the timestamp, so that what was recorded cannot be sent again later.
 */
export function alertSender(config: AlertConfig, warn: (message: string) => void): AlertSender {
  const { url, secret, events = ALERT_EVENTS, quiet = '5m' } = config
  const silence = parseDuration(quiet)!
  const sentAt = new Map<string, number>()
  let waiting = 0
  let last = Promise.resolve()

  async function post(body: string): Promise<void> {
    const timestamp = String(Math.floor(Date.now() / 1000))
    const signature = secret && createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')
    const answer = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-keypool-timestamp': timestamp,
        ...(signature ? { 'x-keypool-signature': `sha256=${signature}` } : {}),
      },
      body,
      signal: AbortSignal.timeout(PATIENCE),
      redirect: 'error',
    })
    await answer.arrayBuffer()
    if (!answer.ok) throw new Error(`it answered with ${answer.status}`)
  }

  async function deliver(body: string): Promise<void> {
    for (let retry = 0; ; retry++) {
      try {
        return await post(body)
      } catch (error) {
        if (retry === RETRIES) throw error
        await delay(BACKOFF * 2 ** retry * (1 - Math.random() / 2), undefined, { ref: false })
      }
    }
  }

  return {
    send(alert) {
      const { event, route, keyId } = alert
      if (!events.includes(event)) return
      const name = `${event} ${route} ${keyId ?? ''}`
      const now = Date.now()
      if (now - (sentAt.get(name) ?? Number.NEGATIVE_INFINITY) < silence) return
      sentAt.set(name, now)
      // That it is back may be told again when it was out again.
      if (event === 'key-recovered') sentAt.delete(`key-exhausted ${route} ${keyId}`)
      if (waiting >= MOST) {
        warn(`An alert is dropped: ${new URL(url).origin} does not answer.`)
        return
      }
      waiting++
      const body = JSON.stringify({ ...alert, at: new Date(now) })
      last = last
        .then(() => deliver(body))
        .catch((error: Error) => warn(`An alert could not be sent to ${new URL(url).origin}: ${error.message}.`))
        .finally(() => {
          waiting--
        })
    },
    flush: () => last,
  }
}
