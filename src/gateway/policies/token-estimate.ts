import type { RequestBody } from './request-body.js'

/** About so many bytes of text make a token. */
const BYTES_PER_TOKEN = 4
/** What a picture or a recording in a body counts for, in tokens. */
const TOKENS_PER_ATTACHMENT = 1_000
/** What is taken for an answer of which nothing is known: most models' own bound. */
const UNKNOWN_ANSWER = 4_096
/** How fast the expectation follows answers that are smaller. */
const FOLLOWS = 0.1
/** Where a request says how long its answer may be at most: members, and members within members. */
const BOUNDS: readonly (readonly string[])[] = [
  ...[
    'max_completion_tokens',
    'max_output_tokens',
    'max_tokens',
    'max_tokens_to_sample',
    'maxTokens',
    'max_new_tokens',
  ],
  ...[
    'generationConfig.maxOutputTokens',
    'inferenceConfig.maxTokens',
    'parameters.max_new_tokens',
    'options.num_predict',
  ],
].map(path => path.split('.'))
/** Where it says how many answers it wants. */
const COUNTS: readonly (readonly string[])[] = ['n', 'best_of', 'generationConfig.candidateCount'].map(path =>
  path.split('.'),
)
/** So many characters in a row that might be base64 are base64 of something. */
const ATTACHMENT = 4_096

/** What a request may take at most, as far as it says so itself, in tokens. */
export interface TokenEstimate {
  readonly prompt: number
  /** `undefined`: it does not say. */
  readonly answer: number | undefined
}

/** Estimates what a request may take. What has no body takes nothing. */
export function estimateTokens(body: RequestBody, length: number | undefined): TokenEstimate {
  switch (body.kind) {
    case 'none':
      return { prompt: 0, answer: 0 }
    case 'opaque':
      return { prompt: Math.ceil(Math.min(length ?? 0, 64 * 1024) / BYTES_PER_TOKEN), answer: undefined }
    case 'json': {
      const count = Math.max(1, ...COUNTS.map(path => wholeAt(body.value, path) ?? 1))
      const bounds = BOUNDS.map(path => wholeAt(body.value, path)).filter(each => each !== undefined)
      return {
        prompt: promptOf(body),
        answer: bounds.length === 0 ? undefined : Math.max(...bounds) * count,
      }
    }
  }
}

function promptOf({ value, bytes }: Extract<RequestBody, { kind: 'json' }>): number {
  if (bytes < 4096) return Math.ceil(bytes / BYTES_PER_TOKEN)
  let text = 0
  let attachments = 0
  for (const [run] of JSON.stringify(value).matchAll(/[A-Za-z0-9+/_=-]+|[^A-Za-z0-9+/_=-]+/g)) {
    if (run.length >= ATTACHMENT) attachments++
    else text += run.length
  }
  return Math.ceil(text / BYTES_PER_TOKEN) + attachments * TOKENS_PER_ATTACHMENT
}

function wholeAt(value: unknown, path: readonly string[]): number | undefined {
  const found = path.reduce<unknown>(
    (holder, name) => (holder as Record<string, unknown> | null | undefined)?.[name],
    value,
  )
  return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0 ? found : undefined
}

/** What to expect of answers that may be as long as they like: about as much as the longest of late. */
export class ExpectedAnswer {
  #tokens = UNKNOWN_ANSWER

  get tokens(): number {
    return Math.ceil(this.#tokens)
  }

  learn(tokens: number): void {
    this.#tokens = Math.max(tokens, this.#tokens * (1 - FOLLOWS) + tokens * FOLLOWS)
  }
}
