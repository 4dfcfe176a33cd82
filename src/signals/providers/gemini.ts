import { googleError } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://ai.google.dev/gemini-api/docs/rate-limits and …/troubleshooting */
export const gemini: Provider = {
  name: 'Gemini',
  origins: 'https://generativelanguage.googleapis.com',
  auth: { header: 'x-goog-api-key' },
  scope: 'model',
  limitScope: 'model',
  credentialParameters: ['key'],
  errorShape: googleError,
  signals: [
    // No allowance at all for this model: the delay beside it is not true.
    { status: 429, text: /limit: 0\b/, means: 'quota', hints: false },
    // It says to retry in seconds, but lasts till midnight on the Pacific coast.
    {
      status: 429,
      code: /PerDay|Daily/,
      means: 'quota',
      hints: false,
      wait: { next: 'day', timeZone: 'America/Los_Angeles' },
    },
    // Both say 'exceeded your current quota', and mean a minute's.
    { status: 429, code: 'RESOURCE_EXHAUSTED', means: 'rate-limit' },
    { status: 402, means: 'quota', scope: 'account' },
    { code: ['API_KEY_INVALID', 'API_KEY_SERVICE_BLOCKED', 'CONSUMER_SUSPENDED'], means: 'invalid-key' },
    { status: 403, text: /API key was reported as leaked/i, means: 'invalid-key' },
    { code: 'MODEL_CAPACITY_EXHAUSTED', means: 'overload' },
  ],
}
