import type { Provider } from '../provider.js'

/** https://docs.stripe.com/rate-limits */
export const stripe: Provider = {
  name: 'Stripe',
  errorShape: ({ message, status }) => ({
    error: { message, ...(status === 401 ? { type: 'invalid_request_error' } : { code: 'rate_limit' }) },
  }),
  origins: 'https://api.stripe.com',
  limitScope: 'account',
  signals: [
    { status: 429, code: 'lock_timeout', means: 'overload' },
    { code: ['api_key_expired', 'platform_api_key_expired'], means: 'invalid-key' },
  ],
}
