import {
  type ImmutableHeaders,
  RemadeResponse,
  type ResponseFacts,
  seemsPlatform,
  withFacts,
} from './remade-response.js'

const decoder = new TextDecoder()

/**
 * A response whose body is in memory.
 *
 * Most callers take it as text or JSON, and a stream for it would cost more than all the rest of finding it: there is one
 * only for those who ask for something else.
 */
class StoredResponse extends RemadeResponse {
  readonly #bytes: Uint8Array<ArrayBuffer>
  readonly #init: StoredInit
  readonly #facts: ResponseFacts
  #isTaken = false
  #made: Response | undefined

  constructor(bytes: Uint8Array<ArrayBuffer>, init: StoredInit, facts: ResponseFacts) {
    super(null, { status: init.status }, facts, init.headers)
    this.#bytes = bytes
    this.#init = init
    this.#facts = facts
  }

  override get body(): Response['body'] {
    return this.#platform().body
  }

  override get bodyUsed(): boolean {
    return this.#made ? this.#made.bodyUsed : this.#isTaken
  }

  override clone(): Response {
    if (!this.#made && !this.#isTaken) return new StoredResponse(this.#bytes, this.#init, this.#facts)
    return withFacts(this.#platform().clone(), this.#facts, this.#init.headers)
  }

  override async text(): Promise<string> {
    return this.#take() ? decoder.decode(this.#bytes) : this.#platform().text()
  }

  override async json(): Promise<unknown> {
    return this.#take() ? JSON.parse(decoder.decode(this.#bytes)) : this.#platform().json()
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#take() ? this.#bytes.slice().buffer : this.#platform().arrayBuffer()
  }

  override async blob(): Promise<Blob> {
    return this.#platform().blob()
  }

  override async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#platform().bytes()
  }

  override async formData(): Promise<FormData> {
    return this.#platform().formData()
  }

  /** Whether the body is there to be taken as a whole. */
  #take(): boolean {
    if (this.#made || this.#isTaken) return false
    this.#isTaken = true
    return true
  }

  /** The response that the platform makes of it: read already, where this one is. */
  #platform(): Response {
    if (this.#made) return this.#made
    this.#made = new Response(this.#bytes, this.#init)
    // Its stream is closed by this, and its body counts as used.
    if (this.#isTaken) void this.#made.arrayBuffer()
    return this.#made
  }
}
seemsPlatform(StoredResponse.prototype, Response)

/** What a stored response is made of. */
export interface StoredInit {
  readonly status: number
  readonly headers: ImmutableHeaders
}

/** A response of what was stored. */
export function storedResponse(
  bytes: Uint8Array<ArrayBuffer> | null,
  init: StoredInit,
  facts: ResponseFacts,
): Response {
  return bytes === null
    ? new RemadeResponse(null, { status: init.status }, facts, init.headers)
    : new StoredResponse(bytes, init, facts)
}
