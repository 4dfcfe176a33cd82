import type { Provider } from '../provider.js'

/** https://developers.cloudflare.com/fundamentals/api/reference/limits */
export const cloudflare: Provider = {
  name: 'Cloudflare',
  errorShape: ({ message, status }) => ({
    success: false,
    errors: [{ code: status === 401 ? 10000 : 971, message }],
    messages: [],
    result: null,
  }),
  origins: 'https://api.cloudflare.com',
  // All tokens of a user share one limit, and all are blocked for five minutes.
  limitScope: 'account',
  signals: [
    { status: 429, means: 'rate-limit', wait: '5m' },
    { status: 403, code: '10000', means: 'answer' },
  ],
}
