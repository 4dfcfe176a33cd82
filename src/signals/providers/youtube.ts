import { googleError } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://developers.google.com/youtube/v3/docs/errors */
export const youtube: Provider = {
  name: 'YouTube',
  errorShape: googleError,
  origins: ['https://www.googleapis.com', 'https://youtube.googleapis.com'],
  auth: { query: 'key' },
  signals: [
    {
      code: ['quotaExceeded', 'dailyLimitExceeded'],
      means: 'quota',
      wait: { next: 'day', timeZone: 'America/Los_Angeles' },
    },
    { code: ['rateLimitExceeded', 'userRateLimitExceeded'], means: 'rate-limit' },
    { code: ['API_KEY_INVALID', 'keyInvalid', 'keyExpired'], means: 'invalid-key' },
    { status: 403, means: 'answer' },
  ],
}
