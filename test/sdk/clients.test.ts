import { wrapFetch } from 'fetch-keypool'
import { ClientError, GraphQLClient } from 'graphql-request'
import ky, { HTTPError } from 'ky'
import { Octokit } from 'octokit'
import { createFetch, FetchError } from 'ofetch'
import createClient from 'openapi-fetch'
import { describe, expect, it } from 'vitest'
import { loopback, type Received, type Reply } from '../helpers/loopback.js'

const json = (body: unknown, status = 200, headers: Record<string, string> = {}): Reply => ({
  status,
  headers: { 'content-type': 'application/json', ...headers },
  body: JSON.stringify(body),
})
const LIMITED = json({ message: 'Too many requests' }, 429, { 'retry-after': '30' })
const second = (answer: Reply) => (request: Received) => (request.key === 'k-one' ? LIMITED : answer)

async function pooled(
  script: (request: Received, count: number) => Reply | Promise<Reply>,
  options: Partial<Parameters<typeof wrapFetch>[1]> = {},
) {
  const server = await loopback(script)
  const fetch = wrapFetch(globalThis.fetch, {
    ...{ origins: server.url, keys: ['k-one', 'k-two'], onExhausted: 'respond', maxWait: 100 },
    ...options,
  })
  return { server, fetch }
}

describe('octokit', () => {
  const github = async (script: (request: Received, count: number) => Reply | Promise<Reply>, url?: string) => {
    const { server, fetch } = await pooled(script, { provider: 'github' })
    const octokit = new Octokit({
      ...{ baseUrl: url ?? server.url, request: { fetch } },
      retry: { enabled: false },
      throttle: { enabled: false },
    })
    return { server, octokit }
  }

  it('follows the pages, each with whichever key is free', async () => {
    const { server, octokit } = await github(request => {
      const page = Number(new URL(request.url, 'http://x').searchParams.get('page') ?? 1)
      const next = `http://${request.headers.host}/repos/o/r/issues?page=${page + 1}`
      return json([{ id: page }], 200, page < 3 ? { link: `<${next}>; rel="next"` } : {})
    })
    const issues = await octokit.paginate('GET /repos/{owner}/{repo}/issues', { owner: 'o', repo: 'r' })
    expect(issues.map(({ id }) => id)).toEqual([1, 2, 3])
    expect(server.received).toHaveLength(3)
  })

  it('sends conditional requests of its own', async () => {
    const { octokit } = await github(({ headers }) =>
      headers['if-none-match'] === '"a"' ? { status: 304 } : json({ id: 1 }, 200, { etag: '"a"' }),
    )
    const { headers } = await octokit.request('GET /repos/{owner}/{repo}', { owner: 'o', repo: 'r' })
    const again = octokit.request('GET /repos/{owner}/{repo}', {
      ...{ owner: 'o', repo: 'r' },
      headers: { 'if-none-match': headers.etag! },
    })
    await expect(again).rejects.toMatchObject({ status: 304 })
  })

  it('goes on with the next key when one is limited, and meets its own error when all are', async () => {
    const limited = json({ message: 'API rate limit exceeded for user ID 1.' }, 403, {
      'x-ratelimit-limit': '60',
      'x-ratelimit-remaining': '0',
      'x-ratelimit-reset': String(Math.ceil(Date.now() / 1000) + 30),
    })
    const one = await github(({ key }) => (key === 'k-one' ? limited : json({ login: 'me' })))
    expect((await one.octokit.request('GET /user')).data.login).toBe('me')
    const none = await github(() => limited)
    await expect(none.octokit.request('GET /user')).rejects.toMatchObject({ name: 'HttpError', status: 403 })
  })
})

describe('ky', () => {
  it('goes on with the next key without a retry of its own, and meets its own HTTPError', async () => {
    const { server, fetch } = await pooled(second(json({ ok: true })))
    const api = ky.create({ fetch, prefixUrl: server.url })
    expect(await api.get('x', { searchParams: { q: '1' } }).json()).toEqual({ ok: true })
    expect(server.received.map(({ url, key }) => `${key} ${url}`)).toEqual(['k-one /x?q=1', 'k-two /x?q=1'])
    const all = await pooled(() => LIMITED)
    await expect(ky.get(all.server.url, { fetch: all.fetch, retry: 0 }).json()).rejects.toBeInstanceOf(HTTPError)
  })

  it('posts JSON, which is sent again with the next key, and shows progress of a download', async () => {
    const { server, fetch } = await pooled(second(json({ ok: true }, 200, { 'content-length': '11' })))
    let last = 0
    const response = await ky.post(server.url, {
      ...{ fetch, json: { a: 1 } },
      onDownloadProgress: ({ percent }) => {
        last = percent
      },
    })
    expect(await response.json()).toEqual({ ok: true })
    expect(server.received.map(({ body }) => body)).toEqual(['{"a":1}', '{"a":1}'])
    expect(last).toBe(1)
  })
})

describe('ofetch', () => {
  it('goes on with the next key, and meets its own FetchError', async () => {
    const { server, fetch } = await pooled(second(json({ ok: true })))
    const api = createFetch({ fetch, Headers, AbortController })
    expect(await api(server.url, { query: { q: 1 }, method: 'POST', body: { a: 1 } })).toEqual({ ok: true })
    expect(server.received[1]).toMatchObject({ url: '/?q=1', body: '{"a":1}', key: 'k-two' })
    const all = await pooled(() => LIMITED)
    const refused = createFetch({ fetch: all.fetch, Headers, AbortController })(all.server.url, { retry: 0 })
    await expect(refused).rejects.toBeInstanceOf(FetchError)
  })
})

describe('openapi-fetch', () => {
  interface paths {
    '/things/{id}': {
      get: {
        parameters: { path: { id: string } }
        responses: { 200: { content: { 'application/json': { id: string } } } }
      }
      put: {
        parameters: { path: { id: string } }
        requestBody: { content: { 'application/json': { name: string } } }
        responses: { 200: { content: { 'application/json': { id: string } } } }
      }
    }
  }

  it('goes on with the next key, bodies of its Requests included', async () => {
    const { server, fetch } = await pooled(second(json({ id: '5' })))
    const api = createClient<paths>({ baseUrl: server.url, fetch })
    const { data } = await api.PUT('/things/{id}', { params: { path: { id: '5' } }, body: { name: 'n' } })
    expect(data).toEqual({ id: '5' })
    expect(server.received.map(({ body, key }) => `${key} ${body}`)).toEqual([
      'k-one {"name":"n"}',
      'k-two {"name":"n"}',
    ])
    const all = await pooled(() => LIMITED)
    const refused = await createClient<paths>({ baseUrl: all.server.url, fetch: all.fetch }).GET('/things/{id}', {
      params: { path: { id: '5' } },
    })
    expect(refused.response.status).toBe(429)
    expect(refused.error).toEqual({ message: 'Too many requests' })
  })
})

describe('graphql-request', () => {
  it('goes on with the next key, and meets its own ClientError', async () => {
    const { server, fetch } = await pooled(second(json({ data: { me: { id: '1' } } })))
    const api = new GraphQLClient(`${server.url}/graphql`, { fetch })
    expect(await api.request('query { me { id } }')).toEqual({ me: { id: '1' } })
    expect(server.keys()).toEqual(['k-one', 'k-two'])
    const all = await pooled(() => LIMITED)
    const refused = new GraphQLClient(`${all.server.url}/graphql`, { fetch: all.fetch }).request('{ a }')
    await expect(refused).rejects.toBeInstanceOf(ClientError)
  })

  it('meets the errors of a query that come with 200 as its own', async () => {
    const { server, fetch } = await pooled(() => json({ errors: [{ message: 'No such field' }] }))
    const refused = new GraphQLClient(server.url, { fetch }).request('{ a }')
    await expect(refused).rejects.toMatchObject({ response: { errors: [{ message: 'No such field' }] } })
    expect(server.received).toHaveLength(1)
  })
})
