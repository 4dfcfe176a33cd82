import { messageAtTop } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://docs.cohere.com/reference/errors and …/docs/rate-limits */
export const cohere: Provider = {
  name: 'Cohere',
  errorShape: messageAtTop,
  origins: 'https://api.cohere.com',
  scope: 'route',
  limitScope: 'model',
  signals: [
    { status: 429, text: /\/ month/, means: 'quota', scope: 'key', wait: { next: 'month' } },
    { status: 429, means: 'rate-limit', wait: '60s' },
    { status: 402, means: 'quota', scope: 'key', wait: { next: 'month' } },
    { status: 401, text: /api (?:key|token)|no api key/i, means: 'invalid-key' },
  ],
  fields: [
    {
      unit: 'requests',
      limit: 'x-trial-endpoint-call-limit',
      remaining: 'x-trial-endpoint-call-remaining',
      per: '1m',
    },
  ],
}
