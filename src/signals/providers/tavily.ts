import type { Provider } from '../provider.js'

/** https://docs.tavily.com/documentation/rate-limits */
export const tavily: Provider = {
  name: 'Tavily',
  errorShape: ({ message }) => ({ detail: { error: message } }),
  origins: 'https://api.tavily.com',
  signals: [
    { status: 429, means: 'rate-limit' },
    { status: 432, means: 'quota', wait: { next: 'month' } },
    { status: 433, means: 'quota' },
  ],
}
