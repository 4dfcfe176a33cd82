import type { Sharing } from 'fetch-keypool'
import { KeypoolError } from '../errors.js'

/** Redis is asked for only where the configuration names it. */
export async function connectRedis(url: string): Promise<{ sharing: Sharing; close(): void }> {
  let ioredis: typeof import('ioredis')
  try {
    ioredis = await import('ioredis')
  } catch (error) {
    throw new KeypoolError('ERR_CONFIG', "'redis' needs the package 'ioredis': npm install ioredis", { cause: error })
  }
  const { redisSharing } = await import('fetch-keypool/redis')
  const client = new ioredis.Redis(url, { maxRetriesPerRequest: 1 })
  client.on('error', () => {})
  return { sharing: redisSharing({ client }), close: () => client.disconnect() }
}
