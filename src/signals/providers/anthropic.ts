import type { Provider } from '../provider.js'

/** https://docs.claude.com/en/api/rate-limits and …/errors */
export const anthropic: Provider = {
  name: 'Anthropic',
  origins: 'https://api.anthropic.com',
  auth: { header: 'x-api-key' },
  headers: { 'anthropic-version': '2023-06-01' },
  scope: 'model',
  limitScope: 'model',
  errorShape: ({ message, type }) => ({ type: 'error', error: { type, message } }),
  signals: [
    { code: 'enforced_spend_limit_reached', means: 'quota', scope: 'account', wait: { next: 'month' } },
    { status: 400, text: /specified (?:workspace )?API usage limits/i, means: 'quota', scope: 'account' },
    { status: 400, text: /credit balance is too low/i, means: 'quota', scope: 'account' },
    { status: 400, text: /(?:organization|workspace|account)\b.{0,80}\bhas been disabled/i, means: 'invalid-key' },
    // A context that the plan does not include: no key of it helps, and no waiting.
    { status: 429, text: /extra usage is required|long context requests/i, means: 'answer' },
    { status: 402, means: 'quota', scope: 'account' },
    { code: 'overloaded_error', means: 'overload' },
    { status: 401, code: 'authentication_error', means: 'invalid-key' },
    {
      status: 403,
      code: 'permission_error',
      text: /\b(?:token|key|account|organization)\b.{0,60}\b(?:revoked|disabled|expired|suspended)/i,
      means: 'invalid-key',
    },
    { status: 403, code: 'permission_error', means: 'answer' },
  ],
}
