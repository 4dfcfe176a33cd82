import { createHash } from 'node:crypto'
import type { KeyQuota, PooledKey } from '../pool/pooled-key.js'

/** How things are called in Redis: by hashes, so that nothing of a key, a group or a URL can be read there. */
export class Names {
  readonly #prefix: string
  readonly #salt: string
  /** All that one pool keeps is in one slot of a cluster. */
  readonly #pool: string

  constructor(prefix: string, purpose: string) {
    this.#prefix = prefix
    this.#salt = purpose
    this.#pool = `${prefix}{${this.#digest('pool')}}`
  }

  get limits(): string {
    return `${this.#pool}:limits`
  }

  get states(): string {
    return `${this.#pool}:states`
  }

  get channel(): string {
    return `${this.#pool}:channel`
  }

  probe(field: string): string {
    return `${this.#pool}:probe:${field}`
  }

  /** Responses are spread over a cluster: each has a slot of its own. */
  response(key: string): string {
    return `${this.#prefix}response:${this.#digest(`response ${key}`)}`
  }

  key({ secret }: PooledKey): string {
    return this.#digest(`key ${secret.reveal()}`)
  }

  quota({ group, keys }: KeyQuota, key: PooledKey | undefined = keys.values().next().value): string {
    if (group !== undefined) return this.#digest(`group ${group}`)
    return key ? this.#digest(`quota ${key.secret.reveal()}`) : ''
  }

  part(quota: string, part: string): string {
    return part === '' ? quota : `${quota}.${this.#digest(part)}`
  }

  #digest(text: string): string {
    return createHash('sha256').update(`${this.#salt}\n${text}`).digest('base64url').slice(0, 22)
  }
}
