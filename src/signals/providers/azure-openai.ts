import type { Provider } from '../provider.js'

/** https://learn.microsoft.com/azure/ai-services/openai/how-to/quota */
export const azureOpenai: Provider = {
  name: 'Azure OpenAI',
  errorShape: ({ message, status }) => ({ error: { code: String(status), message } }),
  auth: { header: 'api-key' },
  scope: 'model',
  limitScope: 'model',
  signals: [
    { status: 429, text: /high demand|peak load/i, means: 'overload' },
    // More than a whole minute's tokens: it would be refused tomorrow, too.
    { status: 429, headers: { 'retry-after': '86400' }, text: /token rate limit/i, means: 'answer' },
    { status: 403, text: /out of call volume quota/i, means: 'quota', scope: 'key' },
  ],
}
