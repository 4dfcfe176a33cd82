import { messageWith } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://www.twilio.com/docs/api/errors/20429 */
export const twilio: Provider = {
  name: 'Twilio',
  errorShape: messageWith('status'),
  origins: 'https://api.twilio.com',
  auth: { header: 'authorization', format: 'Basic {key}' },
  signals: [{ code: ['20003', '20005'], means: 'invalid-key' }],
}
