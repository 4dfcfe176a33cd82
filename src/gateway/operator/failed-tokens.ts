import { systemClock } from '../../clock.js'
import { spend, Tallies } from '../policies/counters.js'
import { network } from '../proxy/address.js'

/** So many wrong tokens may come from one address in a minute. */
const MOST = 10
const WINDOW = 60_000

/** Counts wrong tokens by address, so that nobody tries one after another. */
export class FailedTokens {
  readonly #clock = systemClock()
  readonly #tallies = new Tallies({ requests: MOST, per: WINDOW }, this.#clock)

  /** How long whoever is at this address must wait, in milliseconds; `0`: not at all. */
  waitOf(address: string): number {
    const now = this.#clock.now()
    const [meter] = this.#tallies.of(network(address), now).meters
    return Math.max(0, meter!.availableAt(1, now, now + 1) - now)
  }

  note(address: string): void {
    const now = this.#clock.now()
    const [meter] = this.#tallies.of(network(address), now).meters
    spend(meter!, 1, now)
  }
}
