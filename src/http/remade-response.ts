/** What `new Response()` can't be told: these belong to responses that came from a network. */
export interface ResponseFacts {
  readonly statusText: string
  readonly url: string
  readonly redirected: boolean
  readonly type: ResponseType
}

const NULL_BODY_STATUSES: ReadonlySet<number> = new Set([101, 103, 204, 205, 304])

/** Whether a response with this status has no body by definition (Fetch standard, "null body status"). */
export function hasNullBody(status: number): boolean {
  return NULL_BODY_STATUSES.has(status)
}

/**
 * Makes a response say where it came from; its clones say it too.
 *
 * @param headers - those of a response that came from a network, which cannot be changed and may hold what the constructor
 *   refuses, or that are made like them
 */
export function withFacts(response: Response, facts: ResponseFacts, headers: Headers): Response {
  const define = (value: unknown) => ({ value, configurable: true })
  Object.defineProperties(response, {
    statusText: define(facts.statusText),
    url: define(facts.url),
    redirected: define(facts.redirected),
    type: define(facts.type),
    headers: define(headers),
    clone: {
      configurable: true,
      writable: true,
      value: function clone() {
        return withFacts(Response.prototype.clone.call(response), facts, headers)
      },
    },
  })
  return response
}

/** Lets a class be taken for the platform's own, by whoever asks for the constructor. */
export function seemsPlatform(prototype: object, platform: object): void {
  Object.defineProperty(prototype, 'constructor', { value: platform, configurable: true, writable: true })
}

/** Headers that refuse to be changed, as those of fetched responses do (Fetch standard, headers guard "immutable"). */
export class ImmutableHeaders extends Headers {
  override append(): never {
    throw new TypeError('immutable')
  }

  override delete(): never {
    throw new TypeError('immutable')
  }

  override set(): never {
    throw new TypeError('immutable')
  }
}
seemsPlatform(ImmutableHeaders.prototype, Headers)

/** A response that was made here and says that it came from a network. Not to be told from one by its class. */
export class RemadeResponse extends Response {
  readonly #facts: ResponseFacts
  readonly #headers: Headers

  /** @param headers - see `withFacts` */
  constructor(body: BodyInit | null, init: ResponseInit, facts: ResponseFacts, headers: Headers) {
    super(body, init)
    this.#facts = facts
    this.#headers = headers
  }

  override get statusText(): string {
    return this.#facts.statusText
  }

  override get url(): string {
    return this.#facts.url
  }

  override get redirected(): boolean {
    return this.#facts.redirected
  }

  override get type(): ResponseType {
    return this.#facts.type
  }

  override get headers(): Headers {
    return this.#headers
  }

  override clone(): Response {
    return withFacts(super.clone(), this.#facts, this.#headers)
  }
}
seemsPlatform(RemadeResponse.prototype, Response)

/** The same response with another body in the place of its own. */
export function withBody(response: Response, body: ReadableStream<Uint8Array> | null): Response {
  const { status, statusText, headers, url, redirected, type } = response
  // The content type says what blob() and formData() make of it; servers send bytes in the rest that the constructor refuses.
  const contentType = headers.get('content-type')
  const init = { status, headers: contentType === null ? [] : [['content-type', contentType] as [string, string]] }
  return new RemadeResponse(body, init, { statusText, url, redirected, type }, headers)
}

/** Whether a response can be made anew at all: the constructor takes statuses from 200 to 599 only. */
export function canRemake({ status }: Response): boolean {
  return status >= 200 && status <= 599
}
