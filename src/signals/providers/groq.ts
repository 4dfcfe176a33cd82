import { openAiError } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://console.groq.com/docs/rate-limits and …/errors */
export const groq: Provider = {
  name: 'Groq',
  errorShape: openAiError,
  origins: 'https://api.groq.com',
  scope: 'model',
  limitScope: 'model',
  signals: [
    { status: 429, text: /per day \((?:TPD|RPD|ASD)\)/, means: 'quota' },
    { status: 498, means: 'overload' },
    { code: 'organization_restricted', means: 'invalid-key' },
  ],
}
