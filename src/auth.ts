/** How a request carries its key. */
export type Auth =
  /** `Authorization: Bearer KEY`. */
  | 'bearer'
  /** A header of your own; in `format`, `{key}` stands for the key. */
  | { header: string; format?: string | undefined }
  /** A query parameter; one of that name in the request is replaced. */
  | { query: string }
  /**
   * A segment of the path: `'/v2/{key}'`, or several such beginnings. Whatever stands in the place of `{key}` in the
   * request is replaced; a request with another beginning is refused.
   */
  | { path: string | readonly string[] }
  /** Anything else: gets a request of its own to change, or to replace; its origin must stay. */
  | ((request: Request, key: string) => Request | Promise<Request>)
