import type { Provider } from '../provider.js'

/** https://openrouter.ai/docs/api-reference/limits and …/errors */
export const openrouter: Provider = {
  name: 'OpenRouter',
  origins: 'https://openrouter.ai',
  signals: [
    // An error in the middle of a stream, or after generation has begun: the provider behind it, not the key.
    {
      status: 200,
      headers: { 'content-type': /event-stream/ },
      text: /"error":\s*\{\s*"code":\s*(?:429|5\d\d)/,
      means: 'rate-limit',
      scope: 'provider',
    },
    { status: 429, code: 'openrouter_free_tier_daily', means: 'quota', scope: 'account' },
    { status: 429, text: /free-models-per-day/, means: 'quota', scope: 'account' },
    {
      status: 402,
      code: ['in_flight_budget_exhausted', 'openrouter_in_flight_budget'],
      means: 'rate-limit',
      scope: 'key',
    },
    { status: 402, code: 'weight_exceeds_budget', means: 'answer' },
    { status: 402, means: 'quota', scope: 'account' },
    { status: 403, code: /^openrouter_\w*(?:limit|budget)/, means: 'quota', scope: 'key' },
    { status: 403, means: 'answer' },
    { status: 429, means: 'rate-limit', scope: 'account' },
  ],
}
