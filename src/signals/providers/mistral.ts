import type { Provider } from '../provider.js'

/** https://docs.mistral.ai/deployment/laplateforme/tier */
export const mistral: Provider = {
  name: 'Mistral',
  errorShape: ({ message, type, status }) => ({
    object: 'error',
    message,
    type,
    param: null,
    code: null,
    raw_status_code: status,
  }),
  origins: 'https://api.mistral.ai',
  signals: [
    { status: 429, text: /capacity exceeded/i, means: 'overload' },
    { status: 429, text: /monthly/i, means: 'quota', wait: { next: 'month' } },
  ],
  fields: [
    {
      unit: 'requests',
      limit: 'x-ratelimit-limit-req-minute',
      remaining: 'x-ratelimit-remaining-req-minute',
      per: '1m',
    },
  ],
}
