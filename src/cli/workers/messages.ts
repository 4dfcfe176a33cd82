import type { Question, SiblingNews } from 'fetch-keypool/gateway'

/** What a worker says to the process that has started it. */
export type FromWorker =
  | { readonly kind: 'listening'; readonly url: string }
  | { readonly kind: 'ask'; readonly id: number; readonly question: Question }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly kind: 'tell'; readonly news: SiblingNews }

/** What that says to a worker. */
export type ToWorker =
  | { readonly kind: 'asked'; readonly id: number; readonly question: Question }
  | { readonly kind: 'answers'; readonly id: number; readonly answers: readonly unknown[] }
  | { readonly kind: 'told'; readonly news: SiblingNews }
  | { readonly kind: 'reload' }
  | { readonly kind: 'end' }

/** The environment's variable that tells a worker which it is: `0/2`. */
export const PLACE = 'FETCH_KEYPOOL_WORKER'
