/** How often the page is told what there is, in milliseconds. */
const BEAT = 1_000

/** What there is, as server-sent events, once a second, for as long as somebody listens. */
export function live(overview: () => Promise<unknown>, closing: AbortSignal): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  let end = () => {}
  return new ReadableStream({
    start(controller) {
      let isEnded = false
      const tell = async () => {
        // A reader that is slow gets the next one.
        if ((controller.desiredSize ?? 1) <= 0) return
        const text = `data: ${JSON.stringify(await overview())}\n\n`
        if (!isEnded) controller.enqueue(encoder.encode(text))
      }
      const timer = setInterval(tell, BEAT)
      timer.unref()
      const close = () => {
        end()
        controller.close()
      }
      end = () => {
        isEnded = true
        clearInterval(timer)
        closing.removeEventListener('abort', close)
      }
      closing.addEventListener('abort', close, { once: true })
      return tell()
    },
    cancel: () => end(),
  })
}
