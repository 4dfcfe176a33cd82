import type { Provider } from '../provider.js'

/** https://docs.coingecko.com/docs/errors-and-rate-limits */
export const coingecko: Provider = {
  name: 'CoinGecko',
  errorShape: ({ message, status }) => ({ status: { error_code: status, error_message: message } }),
  origins: 'https://api.coingecko.com',
  auth: { header: 'x-cg-demo-api-key' },
  signals: [
    // A key of one plan at the host of the other: the key is good.
    { code: ['10010', '10011', '10005'], means: 'answer' },
    { status: 401, code: '10002', means: 'invalid-key' },
    { status: 429, means: 'rate-limit', wait: '60s' },
    { status: 403, text: /1020|access denied/i, means: 'rate-limit', scope: 'address', wait: '60s' },
  ],
}
