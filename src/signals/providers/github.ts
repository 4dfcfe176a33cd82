import { messageAtTop } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api */
export const github: Provider = {
  name: 'GitHub',
  errorShape: messageAtTop,
  origins: 'https://api.github.com',
  signals: [
    { status: [403, 429], text: /secondary rate limit/i, means: 'rate-limit', wait: '60s' },
    { status: [403, 429], headers: { 'x-ratelimit-remaining': '0' }, means: 'rate-limit' },
    { status: 403, headers: { 'retry-after': /./ }, means: 'rate-limit' },
    { status: 403, text: /API rate limit exceeded/i, means: 'rate-limit' },
    // GraphQL's answer to too many points.
    { status: 200, code: ['RATE_LIMITED', 'RATE_LIMIT'], means: 'rate-limit' },
    { status: 401, text: /bad credentials/i, means: 'invalid-key' },
    { status: 403, means: 'answer' },
  ],
}
