import type { Provider } from '../provider.js'

/** https://docs.x.com/x-api/fundamentals/rate-limits and …/response-codes-and-errors */
export const xTwitter: Provider = {
  name: 'X',
  errorShape: ({ message, status }) => ({
    title: status === 401 ? 'Unauthorized' : 'Too Many Requests',
    detail: message,
    type: 'about:blank',
    status,
  }),
  origins: ['https://api.x.com', 'https://api.twitter.com'],
  scope: 'route',
  limitScope: 'model',
  signals: [
    // The fields beside these are those of another limit, of which much is left.
    { code: [/usage-capped$/, 'UsageCapExceeded'], means: 'quota', scope: 'account', hints: false },
    { status: 402, means: 'quota', scope: 'account', hints: false },
    { status: 403, code: /client-forbidden$/, means: 'invalid-key' },
  ],
}
