import { mayTellUsage, UsageReader, usageInFields } from '../../signals/usage.js'
import type { Visit } from './policy.js'

/** The body as it comes, looked at for tokens where they are counted. */
export function watchTokens(
  response: Response,
  visit: Pick<Visit, 'ended' | 'spent'>,
  end: (tokens: number | undefined) => void,
): ReadableStream | null {
  const { body, headers } = response
  if (visit.ended.length === 0 || !body) return body
  // What comes out of a cache, of the pool or on the way, took none.
  const said = headers.has('age') ? 0 : usageInFields(headers)
  const reader = said === undefined && mayTellUsage(headers) && response.ok ? new UsageReader(headers) : undefined
  visit.spent = () => said ?? reader?.total
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        reader?.read(chunk)
        controller.enqueue(chunk)
      },
      flush: () => end(visit.spent()),
    }),
  )
}
