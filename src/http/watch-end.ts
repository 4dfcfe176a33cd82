import type { Clock } from '../clock.js'
import { canRemake, RemadeResponse, seemsPlatform } from './remade-response.js'
import { type BodyWatch, watchBody } from './watched-body.js'

type EndWatch = BodyWatch & { whole(): void }

/**
 * A response that stands before another and sees its body end.
 *
 * A stream in the place of the body would tell it too, and costs as much as the whole rest of a call. Nearly all callers
 * take in the body as a whole: then it is enough to see that end. Only for the others is there such a stream: for those
 * who look at `body` or make a clone, and for those who do not begin to read at once, as a small body must come in all the
 * same. (Changing the platform's own response would do as well, and slows down everything that is done with responses.)
 */
class ObservedResponse extends RemadeResponse {
  readonly #source: Response
  readonly #watch: EndWatch
  #begun = false
  #made: Response | undefined

  constructor(source: Response, watch: EndWatch) {
    const { status, statusText, url, redirected, type, headers } = source
    super(null, { status }, { statusText, url, redirected, type }, headers)
    this.#source = source
    this.#watch = watch
  }

  override get body(): Response['body'] {
    return this.#begun && !this.#made ? this.#source.body : this.takeIn().body
  }

  override get bodyUsed(): boolean {
    return (this.#made ?? this.#source).bodyUsed
  }

  override clone(): Response {
    return this.#begun && !this.#made ? this.#source.clone() : this.takeIn().clone()
  }

  override text(): Promise<string> {
    return this.#made ? this.#made.text() : this.#taking(this.#source.text())
  }

  override json(): Promise<unknown> {
    return this.#made ? this.#made.json() : this.#taking(this.#source.json())
  }

  override arrayBuffer(): Promise<ArrayBuffer> {
    return this.#made ? this.#made.arrayBuffer() : this.#taking(this.#source.arrayBuffer())
  }

  override blob(): Promise<Blob> {
    return this.#made ? this.#made.blob() : this.#taking(this.#source.blob())
  }

  override bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#made ? this.#made.bytes() : this.#taking(this.#source.bytes())
  }

  override formData(): Promise<FormData> {
    return this.#made ? this.#made.formData() : this.#taking(this.#source.formData())
  }

  /** Begins to take the body in, unless someone has begun to read it: then that is what there is to see. */
  takeIn(): Response {
    if (this.#begun) return this.#made ?? this.#source
    this.#begun = true
    this.#made = watchBody(this.#source, this.#watch)
    return this.#made
  }

  #taking<Value>(taken: Promise<Value>): Promise<Value> {
    // A second reading is refused, and says nothing of the first.
    if (!this.#begun) {
      this.#begun = true
      taken.then(this.#watch.whole, this.#watch.whole)
    }
    return taken
  }
}
seemsPlatform(ObservedResponse.prototype, Response)

/** Says when a response's body has ended: read, cancelled, failed or dropped. */
export function endWatches(clock: Clock): (response: Response, watch: EndWatch) => Response {
  let waiting: ObservedResponse[] = []
  const flush = () => {
    const all = waiting
    waiting = []
    for (const each of all) each.takeIn()
  }

  return (response, watch) => {
    // What others have made in its likeness has other insides.
    if (!(response instanceof Response) || response.body === null || !canRemake(response)) {
      return watchBody(response, watch)
    }
    const observed = new ObservedResponse(response, watch)
    if (waiting.push(observed) === 1) clock.schedule(flush, 0)
    return observed
  }
}
