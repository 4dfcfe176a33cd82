/** Fields in which answers say how many tokens they took: in all, in, out. */
const TOTAL = ['total_tokens', 'totalTokens', 'totalTokenCount']
const IN = ['input_tokens', 'inputTokens', 'prompt_tokens', 'promptTokens', 'promptTokenCount', 'prompt_eval_count']
const OUT = [
  'output_tokens',
  'outputTokens',
  'completion_tokens',
  'completionTokens',
  'candidatesTokenCount',
  'eval_count',
]
// A name within a text that the answer quotes has a backslash before its quotation mark.
const FIELD = new RegExp(`(?<!\\\\)"(${[...TOTAL, ...IN, ...OUT].join('|')})"\\s*:\\s*(\\d{1,12})(?![\\d.eE])`, 'g')
/** No field with its number is longer; so much is kept of what came before. */
const CARRY = 64

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
 * Finds in a body that passes by how many tokens it took. Streams say it bit by bit, what goes in at the beginning and
 * what came out at the end: of each field the largest number counts.
 */
export class UsageReader {
  readonly #decoder = new TextDecoder()
  readonly #most = new Map<string, number>()
  #rest = ''

  read(bytes: Uint8Array): void {
    const text = this.#rest + this.#decoder.decode(bytes, { stream: true })
    // Nearly all chunks of a stream say nothing of it: looking for one word is far cheaper than for all the fields.
    if (/token|eval_count/i.test(text)) {
      for (const [, name, number] of text.matchAll(FIELD)) {
        this.#most.set(name!, Math.max(this.#most.get(name!) ?? 0, Number(number)))
      }
    }
    this.#rest = text.slice(-CARRY)
  }

  /** The tokens, as far as they were told; `undefined`: not at all. */
  get total(): number | undefined {
    const most = (names: readonly string[]) => Math.max(-1, ...names.map(name => this.#most.get(name) ?? -1))
    const total = most(TOTAL)
    if (total >= 0) return total
    const [into, out] = [most(IN), most(OUT)]
    return into < 0 && out < 0 ? undefined : Math.max(0, into) + Math.max(0, out)
  }
}
