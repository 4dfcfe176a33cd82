import type { Provider } from '../provider.js'

/** https://developers.hubspot.com/docs/api/usage-details */
export const hubspot: Provider = {
  name: 'HubSpot',
  errorShape: ({ message, status }) => ({
    status: 'error',
    message,
    errorType: status === 401 ? 'INVALID_AUTHENTICATION' : 'RATE_LIMIT',
  }),
  origins: 'https://api.hubapi.com',
  signals: [
    { status: 429, code: 'DAILY', means: 'quota', scope: 'account' },
    { status: 429, means: 'rate-limit', wait: { header: 'x-hubspot-ratelimit-interval-milliseconds' } },
    { status: 477, means: 'overload' },
  ],
  fields: [
    {
      unit: 'requests',
      limit: 'x-hubspot-ratelimit-max',
      remaining: 'x-hubspot-ratelimit-remaining',
      per: { header: 'x-hubspot-ratelimit-interval-milliseconds' },
    },
  ],
}
