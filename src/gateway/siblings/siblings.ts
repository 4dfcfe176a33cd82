import type { Alert } from '../monitor/alerts.js'
import type { Change } from '../operator/change.js'

/** What one process of a gateway asks the others. */
export type Question =
  | { readonly kind: 'overview' }
  | { readonly kind: 'metrics' }
  /** To do to their keys what an operator has had done to its own. */
  | ({ readonly kind: 'change' } & Change)

/** What one process of a gateway tells the others. */
export type SiblingNews =
  /** Units of policies that were used, for them to count too. */
  { readonly kind: 'spent'; readonly spent: readonly Spending[] } | { readonly kind: 'alert'; readonly alert: Alert }

export interface Spending {
  readonly policy: string
  /** Whom it is counted for. */
  readonly name: string
  readonly unit: string
  readonly units: number
}

/** The same gateway in other processes on this machine. */
export interface Siblings {
  /** How many processes there are, this one among them. */
  readonly size: number
  /** Which of them this is, from 0. */
  readonly index: number
  /** The answers of those that answer in time. */
  ask(question: Question): Promise<unknown[]>
  tell(news: SiblingNews): void
  /** What to do when others ask and tell. */
  listen(asked: (question: Question) => unknown, told: (news: SiblingNews) => void): void
}

/** A gateway that is one process. */
export const ALONE: Siblings = { size: 1, index: 0, ask: async () => [], tell() {}, listen() {} }
