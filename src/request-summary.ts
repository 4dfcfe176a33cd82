/** What a strategy is told about the request that needs a key. */
export interface RequestSummary {
  readonly method: string
  /** The URL, without any key. */
  readonly url: string
}
