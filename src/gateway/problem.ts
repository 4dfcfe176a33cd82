/** Why a request is not served: RFC 9457 problem details, which name the policy and nothing of what it keeps secret. */
export interface Problem {
  readonly status: number
  /** The kind, for programs. */
  readonly type: string
  readonly title: string
  readonly detail?: string | undefined
  /** The name of the policy that refuses. */
  readonly policy?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** The problem as a response. SDKs of OpenAI's kind read `error.message`, so that is there beside it. */
export function problemResponse({ status, type, title, detail, policy, headers }: Problem): Response {
  const message = detail === undefined ? title : `${title}: ${detail}`
  const body = {
    ...{ type: `urn:fetch-keypool:${type}`, title, status, detail, policy },
    error: { message, type, code: policy ?? type },
  }
  return new Response(JSON.stringify(body), {
    status,
    headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store', ...headers },
  })
}
