import type { Provider } from '../provider.js'

/** https://docs.etherscan.io/resources/common-error-messages */
export const etherscan: Provider = {
  name: 'Etherscan',
  errorShape: ({ message }) => ({ status: '0', message: 'NOTOK', result: message }),
  origins: 'https://api.etherscan.io',
  auth: { query: 'apikey' },
  signals: [
    // All errors come with 200, the words in `result`; an empty list has the same status '0'.
    {
      status: 200,
      text: /"result":\s*"[^"]*too many invalid api key/i,
      means: 'rate-limit',
      scope: 'address',
      wait: '30s',
    },
    {
      status: 200,
      text: /"result":\s*"[^"]*daily rate limit/i,
      means: 'quota',
      scope: 'account',
      wait: { next: 'day' },
    },
    { status: 200, text: /"result":\s*"[^"]*rate limit/i, means: 'rate-limit', wait: '1s' },
    {
      status: 200,
      text: /"result":\s*"[^"]*(?:invalid|missing|unsupported)[^"]{0,20} api ?key/i,
      means: 'invalid-key',
    },
  ],
}
