import type { RequestBody } from '../policies/request-body.js'

/** Services that say what a stream took only where they are asked to. */
const TELL_WHEN_ASKED: ReadonlySet<string> = new Set(['openai', 'azure-openai', 'deepseek', 'openrouter'])
const WITH_OPTIONS = /\/(?:chat\/)?completions$/
/** An event that is longer is not looked into, in characters. */
const LONGEST = 1024 * 1024

/**
 * The body with the wish to be told what the stream takes (`stream_options.include_usage`); `undefined` where it is told
 * anyway, or can't be.
 */
export function askForUsage(body: RequestBody, provider: string | undefined, path: string): Uint8Array | undefined {
  if (body.kind !== 'json' || provider === undefined || !TELL_WHEN_ASKED.has(provider)) return undefined
  const { value } = body
  if (value.stream !== true || !WITH_OPTIONS.test(path)) return undefined
  const { stream_options: options } = value
  if (options !== undefined && options !== null && (typeof options !== 'object' || Array.isArray(options)))
    return undefined
  if ((options as { include_usage?: unknown } | undefined)?.include_usage === true) return undefined
  return new TextEncoder().encode(
    JSON.stringify({ ...value, stream_options: { ...(options ?? {}), include_usage: true } }),
  )
}

/** Takes out again what the caller did not ask for: the event of its own, and the empty member in all others. */
export function withoutUsage(): TransformStream<Uint8Array, Uint8Array> {
  const decoder = new TextDecoder()
  const encoder = new TextEncoder()
  let rest = ''
  const isDropped = { event: false }

  function clean(line: string): string | undefined {
    // The blank line behind an event that is taken out goes with it.
    if (isDropped.event) {
      isDropped.event = line.trim() !== ''
      return undefined
    }
    if (!line.startsWith('data:') || !line.includes('"usage"')) return line
    let event: { usage?: unknown; choices?: unknown } | null
    try {
      event = JSON.parse(line.slice('data:'.length)) as typeof event
    } catch {
      // No event of the form that is known: it goes on as it is.
      return line
    }
    if (typeof event !== 'object' || event === null || !('usage' in event)) return line
    if (Array.isArray(event.choices) && event.choices.length === 0 && event.usage) {
      isDropped.event = true
      return undefined
    }
    const { usage: _, ...others } = event
    return `data: ${JSON.stringify(others)}${line.endsWith('\r') ? '\r' : ''}`
  }

  return new TransformStream({
    transform(chunk, controller) {
      const added = decoder.decode(chunk, { stream: true })
      rest += added
      // In what is new: a long line may come in very many pieces.
      const line = added.lastIndexOf('\n')
      if (line < 0 && rest.length <= LONGEST) return
      const end = line < 0 ? rest.length : rest.length - added.length + line + 1
      const lines = rest.slice(0, end).split('\n')
      rest = rest.slice(end)
      const kept: string[] = []
      lines.forEach((line, index) => {
        const isLast = index === lines.length - 1
        if (isLast && line === '') return
        const cleaned = clean(line)
        if (cleaned !== undefined) kept.push(isLast ? cleaned : `${cleaned}\n`)
      })
      if (kept.length > 0) controller.enqueue(encoder.encode(kept.join('')))
    },
    flush(controller) {
      const cleaned = rest === '' ? undefined : clean(rest)
      if (cleaned !== undefined) controller.enqueue(encoder.encode(cleaned))
    },
  })
}
