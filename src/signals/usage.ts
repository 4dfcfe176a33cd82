/** Fields of a usage object: in all, in, out, and what was written to a prompt cache, which counts beside what went in. */
const TOTAL = ['total_tokens', 'totalTokens', 'totalTokenCount']
const IN = [
  'input_tokens',
  'inputTokens',
  'prompt_tokens',
  'promptTokens',
  'promptTokenCount',
  'prompt_eval_count',
  'inputTokenCount',
]
const OUT = [
  'output_tokens',
  'outputTokens',
  'completion_tokens',
  'completionTokens',
  'candidatesTokenCount',
  'eval_count',
  'outputTokenCount',
]
const CACHED = ['cache_creation_input_tokens', 'cacheWriteInputTokens', 'cacheCreationInputTokens']
/** A body, or one event of a stream, that is longer than this is not looked into, in characters. */
const MAX_LENGTH = 4 * 1024 * 1024
/** Only what has one of these words can tell. */
const TELLING = /usage|token|eval_count/i

/** The tokens that header fields say; `undefined` where they don't. Bedrock's are `x-amzn-bedrock-input-token-count` and its like. */
export function usageInFields(headers: Headers): number | undefined {
  let sum: number | undefined
  for (const [name, value] of headers) {
    if (/ratelimit|rate-limit|remaining|limit/.test(name) || !/^\d{1,12}$/.test(value)) continue
    if (/total-tokens?(?:-count)?$/.test(name)) return Number(value)
    if (/(?:input|output|prompt|completion)-tokens?(?:-count)?$/.test(name)) sum = (sum ?? 0) + Number(value)
  }
  return sum
}

/** Whether a body may say how many tokens it took. */
export function mayTellUsage(headers: Headers): boolean {
  return /json|event-stream|ndjson/i.test(headers.get('content-type') ?? '')
}

/**
 * Finds in a body that passes by how many tokens it took: in the usage object that services document, and nowhere else. What
 * looks like one within a message, or in what a tool is called with, is the model's own.
 *
 * Streams say it bit by bit, what goes in at the beginning and what came out at the end: of each field the largest number
 * counts. They are read line by line, so that nothing of them is kept; any other body is read at its end.
 */
export class UsageReader {
  readonly #decoder = new TextDecoder()
  readonly #most = new Map<string, number>()
  readonly #isStream: boolean
  #text = ''
  #isTooLong = false
  #isRead = false

  /** @param headers - of the response */
  constructor(headers: Headers) {
    this.#isStream = /event-stream|ndjson|jsonl|json-seq/i.test(headers.get('content-type') ?? '')
  }

  read(bytes: Uint8Array): void {
    const text = this.#decoder.decode(bytes, { stream: true })
    if (!this.#isTooLong) this.#text += text
    if (this.#isStream) this.#readLines(text)
    else if (this.#text.length > MAX_LENGTH) this.#drop()
  }

  /** The tokens, as far as they were told; `undefined`: not at all. To be asked at the end of the body. */
  get total(): number | undefined {
    if (!this.#isRead) {
      this.#isRead = true
      if (this.#isStream) this.#readLine(this.#text)
      else this.#readJson(this.#text)
      this.#text = ''
    }
    const most = (names: readonly string[]) => Math.max(-1, ...names.map(name => this.#most.get(name) ?? -1))
    const total = most(TOTAL)
    if (total >= 0) return total
    const [into, out] = [most(IN), most(OUT)]
    return into < 0 && out < 0 ? undefined : Math.max(0, into) + Math.max(0, most(CACHED)) + Math.max(0, out)
  }

  #readLines(added: string): void {
    const end = added.lastIndexOf('\n')
    if (end < 0) {
      if (this.#text.length > MAX_LENGTH) this.#drop()
      return
    }
    const rest = added.slice(end + 1)
    const whole = this.#isTooLong ? '' : this.#text.slice(0, this.#text.length - rest.length)
    this.#text = rest
    this.#isTooLong = false
    // Nearly all chunks of a stream say nothing of it.
    if (TELLING.test(whole)) for (const line of whole.split('\n')) this.#readLine(line)
  }

  #drop(): void {
    this.#text = ''
    this.#isTooLong = true
  }

  #readLine(line: string): void {
    if (!TELLING.test(line)) return
    this.#readJson(line.replace(/^data:/, ''))
  }

  #readJson(text: string): void {
    if (!TELLING.test(text)) return
    let json: unknown
    try {
      json = JSON.parse(text)
    } catch {
      // Cut off, or no JSON at all: it says nothing that could be relied on.
      return
    }
    for (const each of Array.isArray(json) ? json : [json]) for (const usage of usagesOf(each)) this.#note(usage)
  }

  #note(usage: object): void {
    for (const [name, value] of Object.entries(usage)) {
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) {
        this.#most.set(name, Math.max(this.#most.get(name) ?? 0, value))
      }
    }
  }
}

/** The usage objects of a response or an event, where services document them. */
function usagesOf(root: unknown): object[] {
  const at = (value: unknown, ...path: string[]): unknown =>
    path.reduce<unknown>((holder, name) => (holder as Record<string, unknown> | null | undefined)?.[name], value)
  const found = [
    at(root, 'usage'),
    at(root, 'message', 'usage'),
    at(root, 'response', 'usage'),
    at(root, 'delta', 'usage'),
    at(root, 'metadata', 'usage'),
    at(root, 'x_groq', 'usage'),
    at(root, 'usageMetadata'),
    at(root, 'response', 'usageMetadata'),
    at(root, 'usage_metadata'),
    at(root, 'meta'),
    at(root, 'amazon-bedrock-invocationMetrics'),
    // Ollama's stand beside its answer.
    at(root, 'eval_count') === undefined ? undefined : root,
  ]
  // Cohere tells what was billed, and what there was.
  return found.flatMap(usage => {
    const inner = at(usage, 'tokens') ?? at(usage, 'billed_units') ?? usage
    return typeof inner === 'object' && inner !== null ? [inner] : []
  })
}
