import type { Provider } from '../provider.js'

/** https://console.groq.com/docs/rate-limits and …/errors */
export const groq: Provider = {
  name: 'Groq',
  origins: 'https://api.groq.com',
  scope: 'model',
  limitScope: 'model',
  signals: [
    { status: 429, text: /per day \((?:TPD|RPD|ASD)\)/, means: 'quota' },
    { status: 498, means: 'overload' },
    { code: 'organization_restricted', means: 'invalid-key' },
  ],
}
