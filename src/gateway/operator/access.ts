import type { IncomingMessage } from 'node:http'
import { findToken, type KnownToken } from '../policies/authentication.js'
import type { Problem } from '../problem.js'
import { shownTokens } from '../proxy/headers.js'
import type { FailedTokens } from './failed-tokens.js'

/** Who asks: an operator, somebody on this machine where no operator is named, or nobody who may. */
export type Access =
  | { readonly kind: 'granted'; readonly operator: string | undefined }
  | { readonly kind: 'refused'; readonly problem: Problem }

export interface AccessOptions {
  readonly operators: readonly KnownToken[]
  /** Where it is asked from, as far as proxies are trusted. */
  addressOf(incoming: IncomingMessage): string
  /** Whether a program on this machine asks, and no page of somebody else's in its browser. */
  isFromHere(incoming: IncomingMessage): boolean
  readonly failed: FailedTokens
}

/** Decides who may look, and who may change things: where nobody is named, whoever is on this machine may look. */
export class Doorkeeper {
  readonly #options: AccessOptions

  constructor(options: AccessOptions) {
    this.#options = options
  }

  get hasOperator(): boolean {
    return this.#options.operators.length > 0
  }

  /** @param search - the query, where a token may stand in it: of the stream of events, which browsers can't give headers */
  mayLook(incoming: IncomingMessage, search = ''): Access {
    if (this.hasOperator) return this.#operator(incoming, search)
    return this.#options.isFromHere(incoming) ? { kind: 'granted', operator: undefined } : DENIED
  }

  mayAct(incoming: IncomingMessage): Access {
    return this.hasOperator ? this.#operator(incoming, '') : NOBODY
  }

  #operator(incoming: IncomingMessage, search: string): Access {
    const { operators, addressOf, failed } = this.#options
    const address = addressOf(incoming)
    const wait = failed.waitOf(address)
    if (wait > 0) return tooMany(wait)
    const shown = shownTokens(incoming.headers, search)
    const token = findToken(operators, shown)
    if (token) return { kind: 'granted', operator: token.id }
    if (shown.length > 0) failed.note(address)
    return DENIED
  }
}

const DENIED: Access = {
  kind: 'refused',
  problem: {
    ...{ status: 401, type: 'unauthenticated', title: "The operator's token is needed" },
    headers: { 'www-authenticate': 'Bearer realm="keypool-operator"' },
  },
}
const NOBODY: Access = {
  kind: 'refused',
  problem: {
    ...{ status: 403, type: 'no-operator', title: 'Nobody may change anything here' },
    detail: "the configuration names no operator: see 'operator.tokens', and fetch-keypool token",
  },
}

function tooMany(wait: number): Access {
  const seconds = Math.ceil(wait / 1000)
  return {
    kind: 'refused',
    problem: {
      ...{ status: 429, type: 'too-many-tokens', title: 'Too many wrong tokens came from this address' },
      ...{ detail: `try again in ${seconds} s`, headers: { 'retry-after': `${seconds}` } },
    },
  }
}
