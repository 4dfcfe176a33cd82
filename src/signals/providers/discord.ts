import type { Provider } from '../provider.js'

/** https://discord.com/developers/docs/topics/rate-limits */
export const discord: Provider = {
  name: 'Discord',
  errorShape: ({ message, status, retryAfter }) =>
    status === 401 ? { message, code: 0 } : { message, retry_after: retryAfter ?? 0, global: false },
  origins: 'https://discord.com',
  auth: { header: 'authorization', format: 'Bot {key}' },
  scope: 'route',
  signals: [
    // A ban of the address, as a page: other tokens make it worse.
    { status: [403, 429], headers: { 'content-type': /html/ }, means: 'rate-limit', scope: 'address' },
    { status: 429, headers: { 'x-ratelimit-scope': 'shared' }, means: 'rate-limit', scope: 'resource' },
    { status: 429, headers: { 'x-ratelimit-global': 'true' }, means: 'rate-limit', scope: 'key' },
    { status: 429, means: 'rate-limit', scope: 'model' },
  ],
}
