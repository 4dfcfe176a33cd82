/**
 * A response whose body has come in whole. A stream is made of it only for those who ask for one: making each costs more
 * than sending it on.
 */
export class WholeResponse extends Response {
  readonly #bytes: Uint8Array
  /** What the platform makes of it, once somebody wants more than the bytes. */
  #made: Response | undefined

  constructor(bytes: Uint8Array, init: ResponseInit) {
    super(null, init)
    this.#bytes = bytes
  }

  /** The body, if nobody has begun to read it in another way; else `undefined`. */
  get untouched(): Uint8Array | undefined {
    return this.#made ? undefined : this.#bytes
  }

  get #whole(): Response {
    this.#made ??= new Response(this.#bytes as BodyInit)
    return this.#made
  }

  override get body(): Response['body'] {
    return this.#whole.body
  }

  override get bodyUsed(): boolean {
    return this.#made?.bodyUsed ?? false
  }

  override arrayBuffer(): Promise<ArrayBuffer> {
    return this.#whole.arrayBuffer()
  }

  override blob(): Promise<Blob> {
    return this.#whole.blob()
  }

  override formData(): Promise<FormData> {
    return this.#whole.formData()
  }

  override json(): Promise<unknown> {
    return this.#whole.json()
  }

  override text(): Promise<string> {
    return this.#whole.text()
  }

  override clone(): Response {
    const { status, statusText, headers } = this
    return new Response(this.#whole.clone().body, { status, statusText, headers })
  }
}
