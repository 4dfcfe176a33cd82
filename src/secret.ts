/**
 * A key's value, out of reach of everything that prints, logs or serialises.
 *
 * A private field is seen by no inspector, not even with `showHidden`; the rest answer for whoever asks anyway.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  /** The value itself: for the request to the key's own origin, and nothing else. */
  reveal(): string {
    return this.#value
  }

  get length(): number {
    return this.#value.length
  }

  equals(other: string): boolean {
    return this.#value === other
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }
}
