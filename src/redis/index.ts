import { check } from '../schema/check.js'
import { name, object, positiveInteger } from '../schema/parts.js'
import * as v from '../schema/valibot.js'
import type { Sharing } from '../sharing.js'
import { joinOverRedis } from './membership.js'
import type { RedisClient } from './redis-client.js'

export type { RedisClient } from './redis-client.js'

/** What {@link redisSharing} takes. */
export interface RedisSharingOptions {
  /** Your own ioredis client, or cluster: it is used and never closed. A second connection, to listen on, is made of it. */
  client: RedisClient
  /** What all names in Redis begin with; an ACL user needs no others (`~prefix* &prefix*`). @default 'fetch-keypool:' */
  prefix?: string | undefined
  /**
   * Pools of one name share what is about the same keys. @default the origins of the pool
   */
  name?: string | undefined
  /** Whether responses are shared too, where the pool caches and has no `store` of its own. @default true */
  cache?: boolean | undefined
  /** How many processes there are, as far as you know: each keeps to its part where Redis was not there from the start. @default 1 */
  processes?: number | undefined
}

const PREFIX = 'a string without braces'
const schema = object(
  {
    client: v.custom(isClient, 'an ioredis client'),
    prefix: v.optional(v.pipe(v.string(PREFIX), v.regex(/^[^{}]*$/, PREFIX))),
    name: v.optional(name('a string of 1 to 200 characters')),
    cache: v.optional(v.boolean('true or false')),
    processes: v.optional(positiveInteger),
  },
  '{ client, … }',
)

function isClient(value: unknown): boolean {
  const client = value as Partial<RedisClient> | null | undefined
  return typeof client?.evalsha === 'function' && typeof client.duplicate === 'function'
}

/**
 * Lets many processes with the same keys keep the keys' limits together, tell each other which key is exhausted, and
 * share the cache, over Redis 6 or later.
 *
 * Requests never wait for Redis, save for the first of a process, where more of a limit is needed than it holds, and where
 * the shared cache is asked (for a second at most, once Redis stands still); none fails because of it. Without Redis each process goes on with its part of each limit, and tells it by the event
 * `sharing-degraded`.
 *
 * @example
 * const fetch = wrapFetch(globalThis.fetch, { …, sharing: redisSharing({ client: new Redis(url) }) })
 * @throws InvalidOptionError
 */
export function redisSharing(options: RedisSharingOptions): Sharing {
  const {
    client,
    prefix = 'fetch-keypool:',
    name,
    cache = true,
    processes = 1,
  } = check(schema, options, 'sharing', []) as RedisSharingOptions
  return { join: pool => joinOverRedis(pool, { client, prefix, name, cache, processes }) }
}
