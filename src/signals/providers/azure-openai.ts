import type { Provider } from '../provider.js'

/** https://learn.microsoft.com/azure/ai-services/openai/how-to/quota */
export const azureOpenai: Provider = {
  name: 'Azure OpenAI',
  auth: { header: 'api-key' },
  scope: 'model',
  limitScope: 'model',
  signals: [
    { status: 429, text: /high demand|peak load/i, means: 'overload' },
    { status: 403, text: /out of call volume quota/i, means: 'quota', scope: 'key' },
  ],
}
