import type { Provider } from '../provider.js'

/** https://newsapi.org/docs/errors */
export const newsapi: Provider = {
  name: 'NewsAPI',
  errorShape: ({ message, status }) => ({
    status: 'error',
    code: status === 401 ? 'apiKeyInvalid' : 'rateLimited',
    message,
  }),
  origins: 'https://newsapi.org',
  auth: { header: 'x-api-key' },
  signals: [
    { code: 'rateLimited', means: 'quota', wait: '12h' },
    { code: 'apiKeyExhausted', means: 'quota' },
    { code: ['apiKeyInvalid', 'apiKeyDisabled', 'apiKeyMissing'], means: 'invalid-key' },
  ],
}
