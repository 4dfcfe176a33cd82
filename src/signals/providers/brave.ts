import type { Provider } from '../provider.js'

/** https://api-dashboard.search.brave.com/documentation/guides/rate-limiting */
export const brave: Provider = {
  name: 'Brave Search',
  errorShape: ({ message, status }) => ({ type: 'ErrorResponse', error: { status, detail: message } }),
  origins: 'https://api.search.brave.com',
  auth: { header: 'x-subscription-token' },
  signals: [
    { status: 429, code: 'QUOTA_LIMITED', means: 'quota' },
    // The month's window can run out under the other code too.
    { status: 429, headers: { 'x-ratelimit-remaining': /,\s*0\s*$/ }, means: 'quota' },
    { status: 429, code: 'RATE_LIMITED', means: 'rate-limit' },
    { status: 422, code: 'SUBSCRIPTION_TOKEN_INVALID', means: 'invalid-key' },
  ],
}
