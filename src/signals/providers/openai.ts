import { openAiError } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://platform.openai.com/docs/guides/rate-limits and …/error-codes */
export const openai: Provider = {
  name: 'OpenAI',
  errorShape: openAiError,
  origins: 'https://api.openai.com',
  scope: 'model',
  limitScope: 'model',
  signals: [
    { status: 429, text: /request too large/i, means: 'answer' },
    {
      code: [
        'insufficient_quota',
        'credit_balance_exhausted',
        /_(?:spend|usage)_limit_exceeded$/,
        'billing_hard_limit_reached',
      ],
      means: 'quota',
      scope: 'account',
    },
    { status: 429, code: ['server_is_overloaded', 'engine_overloaded'], means: 'overload' },
    { status: 429, text: /engine is currently overloaded/i, means: 'overload' },
    { code: ['invalid_api_key', 'account_deactivated'], means: 'invalid-key' },
    { status: 403, code: 'unsupported_country_region_territory', means: 'answer' },
  ],
}
