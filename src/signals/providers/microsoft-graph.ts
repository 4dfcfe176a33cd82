import type { Provider } from '../provider.js'

/** https://learn.microsoft.com/graph/throttling */
export const microsoftGraph: Provider = {
  name: 'Microsoft Graph',
  errorShape: ({ message, status }) => ({
    error: { code: status === 401 ? 'InvalidAuthenticationToken' : 'TooManyRequests', message },
  }),
  origins: 'https://graph.microsoft.com',
  signals: [
    // Whatever the code says (accessDenied, UnknownError), 429 is a throttle here.
    { status: 429, means: 'rate-limit' },
    // A batch answers 200 while items of it are throttled.
    { status: 200, text: /^(?=[\s\S]*"responses":)[\s\S]*"status":\s*429\b/, means: 'rate-limit' },
    { code: 'InvalidAuthenticationToken', means: 'invalid-key' },
  ],
}
