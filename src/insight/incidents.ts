import type { Scope } from '../signals/provider.js'

/** How many names of resources and of keys are kept. */
const MOST_NAMES = 20

/** Refusals that no other key helps against, of one kind. */
export interface WideRefusals {
  readonly refusals: number
  /** The names of what was refused; empty where it was everything. */
  readonly names: readonly string[]
  readonly keyIds: readonly string[]
}

/** What has happened besides what is counted for each key: see `Incidents`. */
export interface IncidentsReading {
  readonly address: WideRefusals
  readonly resource: WideRefusals
  /** Answers that say what is wrong with the request, by their status. */
  readonly requestErrors: ReadonlyMap<number, number>
  /** Refusals for a limit of tokens, and those that did not say for how long. */
  readonly ofTokens: number
  readonly withoutWait: number
}

class Wide {
  refusals = 0
  readonly names = new Set<string>()
  readonly keyIds = new Set<string>()

  add(name: string, keyId: string): void {
    this.refusals++
    if (name !== '' && this.names.size < MOST_NAMES) this.names.add(name)
    if (this.keyIds.size < MOST_NAMES) this.keyIds.add(keyId)
  }

  read(): WideRefusals {
    return { refusals: this.refusals, names: [...this.names], keyIds: [...this.keyIds] }
  }
}

/** Remembers what a diagnosis names and no key's own numbers show; of a fixed size. */
export class Incidents {
  readonly #address = new Wide()
  readonly #resource = new Wide()
  readonly #requestErrors = new Map<number, number>()
  #ofTokens = 0
  #withoutWait = 0

  /** A refusal that covers more than a key. @param name - of the resource; `''`: everything */
  refusedWhateverKey(scope: Scope, name: string, keyId: string): void {
    if (scope === 'address') this.#address.add('', keyId)
    if (scope === 'resource') this.#resource.add(name, keyId)
  }

  refused({ ofTokens, wait }: { readonly ofTokens: boolean; readonly wait: number | undefined }): void {
    if (ofTokens) this.#ofTokens++
    if (wait === undefined) this.#withoutWait++
  }

  /** An answer for the caller. That something is not there, or has not changed, is no mistake. */
  answered(status: number): void {
    if (status < 400 || status >= 500 || status === 404 || status === 410) return
    this.#requestErrors.set(status, (this.#requestErrors.get(status) ?? 0) + 1)
  }

  read(): IncidentsReading {
    return {
      address: this.#address.read(),
      resource: this.#resource.read(),
      requestErrors: new Map(this.#requestErrors),
      ofTokens: this.#ofTokens,
      withoutWait: this.#withoutWait,
    }
  }
}
