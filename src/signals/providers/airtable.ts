import type { Provider } from '../provider.js'

/** https://support.airtable.com/docs/managing-api-call-limits-in-airtable */
export const airtable: Provider = {
  name: 'Airtable',
  errorShape: ({ message, status }) => ({
    errors: [{ error: status === 401 ? 'AUTHENTICATION_REQUIRED' : 'RATE_LIMIT_REACHED', message }],
  }),
  origins: 'https://api.airtable.com',
  // Counted for each base, which is the first part of the path.
  scope: ({ url }) => new URL(url).pathname.split('/')[2] ?? '',
  limitScope: 'resource',
  signals: [
    {
      status: 429,
      code: 'PUBLIC_API_BILLING_LIMIT_EXCEEDED',
      means: 'quota',
      scope: 'account',
      wait: { next: 'month' },
    },
    // A fixed penalty, in which every call fails.
    { status: 429, means: 'rate-limit', wait: '30s' },
  ],
}
