import { KeypoolError, wrapFetch } from 'fetch-keypool'
import { keysOf, probeOf, readConfig } from 'fetch-keypool/gateway'

/** Sends one request with each key and says what came of it. Ends with status 1 where a key is of no use. */
export async function checkKeys(path: string, probePath: string | undefined): Promise<void> {
  const { config, locate } = await readConfig(path)
  let isAllWell = true
  for (const [name, route] of Object.entries(config.routes)) {
    process.stdout.write(`${name}\n`)
    const url = probeOf(route, probePath)
    for (const [index, each] of keysOf(route).entries()) {
      const value = typeof each === 'string' ? { value: each } : each
      const key = { id: `key-${index + 1}`, ...value }
      const { keys: _, policies: __, upstream: ___, strategy: ____, ...options } = route
      try {
        const fetch = wrapFetch(globalThis.fetch, {
          ...options,
          origins: options.origins ?? new URL(url).origin,
          ...{ keys: [key], retry: false, cache: false, maxWait: 0, onExhausted: 'respond', timeout: '20s' },
        } as Parameters<typeof wrapFetch>[1])
        const { verdict, isWell } = await probe(fetch, url)
        isAllWell &&= isWell
        process.stdout.write(`  ${fetch.pool.keys()[0]!.id.padEnd(16)} ${verdict}\n`)
        await fetch.close()
      } catch (error) {
        if (KeypoolError.is(error, 'ERR_INVALID_OPTION')) throw locate(error)
        throw error
      }
    }
  }
  if (!isAllWell) process.exitCode = 1
}

async function probe(fetch: ReturnType<typeof wrapFetch>, url: string): Promise<{ verdict: string; isWell: boolean }> {
  let status: number
  try {
    const answer = await fetch(url)
    await answer.arrayBuffer()
    status = answer.status
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as { code?: string }
    return { verdict: `no answer (${code ?? (error as Error).message})`, isWell: false }
  }
  const [key] = fetch.pool.keys()
  const left = key!.limits
    .map(({ remaining, limit, unit }) => `${remaining} of ${limit ?? '?'} ${unit} left`)
    .join(', ')
  if (key!.cause === null) {
    const isFine = status < 400
    return {
      verdict: `${isFine ? 'good' : `taken, but the answer is ${status}`}${left ? `: ${left}` : ''}`,
      isWell: true,
    }
  }
  const back = key!.until ? `, back ${key!.until.toISOString()}` : ''
  return { verdict: `${key!.cause} (${status})${back}`, isWell: false }
}
