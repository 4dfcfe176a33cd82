import { messageAtTop } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits */
export const gitlab: Provider = {
  name: 'GitLab',
  errorShape: messageAtTop,
  origins: 'https://gitlab.com',
  auth: { header: 'private-token' },
  signals: [
    // The limits of single actions do not show in the header fields.
    {
      status: 429,
      text: /this endpoint has been requested too many times/i,
      means: 'rate-limit',
      scope: 'model',
      wait: '60s',
    },
  ],
  scope: 'route',
}
