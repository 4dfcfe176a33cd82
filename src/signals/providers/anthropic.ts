import type { Provider } from '../provider.js'

/** https://docs.claude.com/en/api/rate-limits and …/errors */
export const anthropic: Provider = {
  name: 'Anthropic',
  origins: 'https://api.anthropic.com',
  auth: { header: 'x-api-key' },
  headers: { 'anthropic-version': '2023-06-01' },
  scope: 'model',
  limitScope: 'model',
  signals: [
    { code: 'enforced_spend_limit_reached', means: 'quota', scope: 'account', wait: { next: 'month' } },
    { status: 400, text: /specified (?:workspace )?API usage limits/i, means: 'quota', scope: 'account' },
    { status: 400, text: /credit balance is too low/i, means: 'quota', scope: 'account' },
    { status: 402, means: 'quota', scope: 'account' },
    { code: 'overloaded_error', means: 'overload' },
    { status: 401, code: 'authentication_error', means: 'invalid-key' },
    { status: 403, code: 'permission_error', means: 'answer' },
  ],
}
