import type { KeyPoolEvents, PooledFetch } from 'fetch-keypool'

type Name = keyof KeyPoolEvents
type Payload<N extends Name> = Parameters<KeyPoolEvents[N]>[0]

export const EVENT_NAMES = [
  'key-exhausted',
  'key-near-exhaustion',
  'key-recovered',
  'key-disabled',
  'key-rotated',
  'pool-exhausted',
  'request-retried',
  'request-finished',
  'tokens-settled',
  'cache-hit',
  'cache-missed',
  'sharing-degraded',
  'sharing-restored',
] as const satisfies readonly Name[]

/** All events of a wrapped fetch, as they come. */
export function recordEvents(fetch: PooledFetch) {
  const all: { name: Name; payload: unknown }[] = []
  for (const name of EVENT_NAMES) {
    ;(fetch.pool.on as (name: string, listener: (payload: unknown) => void) => unknown)(name, payload =>
      all.push({ name, payload }),
    )
  }
  return {
    all,
    of: <N extends Name>(name: N): Payload<N>[] =>
      all.filter(event => event.name === name).map(({ payload }) => payload as Payload<N>),
  }
}
