import type { Provider } from '../provider.js'

/** https://github.com/binance/binance-spot-api-docs rest-api.md (LIMITS) and errors.md */
export const binance: Provider = {
  name: 'Binance',
  errorShape: ({ message, status }) => ({ code: status === 401 ? -2015 : -1003, msg: message }),
  origins: 'https://api.binance.com',
  auth: { header: 'x-mbx-apikey' },
  signals: [
    // Weight is counted for the address: another key leads straight to a ban.
    { status: 418, means: 'rate-limit', scope: 'address' },
    { code: '-1015', means: 'rate-limit' },
    { code: '-1003', means: 'rate-limit', scope: 'address' },
    { status: 403, headers: { 'content-type': /html/ }, means: 'rate-limit', scope: 'address', wait: '2m' },
    { code: '-1008', means: 'overload' },
    { code: ['-2014', '-2015'], means: 'invalid-key' },
    { code: ['-1021', '-1022'], means: 'answer' },
    { status: 429, means: 'rate-limit', scope: 'address' },
  ],
}
