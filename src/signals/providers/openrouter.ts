import { numberedError } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://openrouter.ai/docs/api-reference/limits and …/errors */
export const openrouter: Provider = {
  name: 'OpenRouter',
  errorShape: numberedError,
  origins: 'https://openrouter.ai',
  // All free models draw on one allowance of their own; a key's other limits are the account's.
  scope: ({ body }) => (/"model"\s*:\s*"[^"]{1,200}:free"/.test(body?.slice(0, 65_536) ?? '') ? 'free models' : ''),
  resource: 'model',
  limitScope: 'account',
  signals: [
    { status: 429, code: 'openrouter_free_tier_daily', means: 'quota', scope: 'model' },
    { status: 429, text: /free-models-per-day/, means: 'quota', scope: 'model' },
    // The provider behind the model is limited, and no key.
    { status: 429, text: /rate-limited upstream/i, means: 'overload', scope: 'resource' },
    // An error after it has begun to answer with 200, also in the first event of a stream.
    { status: 200, code: /^(?:429|5\d\d)$/, means: 'overload' },
    {
      status: 402,
      code: ['in_flight_budget_exhausted', 'openrouter_in_flight_budget'],
      means: 'rate-limit',
      scope: 'key',
    },
    { status: 402, code: 'weight_exceeds_budget', means: 'answer' },
    // Less would be affordable.
    { status: 402, text: /can only afford \d/i, means: 'answer' },
    { status: 402, means: 'quota', scope: 'account' },
    { status: 403, code: /^openrouter_\w*(?:limit|budget)/, means: 'quota', scope: 'key' },
    { status: 403, means: 'answer' },
    { status: 429, means: 'rate-limit', scope: 'account' },
  ],
}
