import type { Provider } from '../provider.js'

/** https://docs.slack.dev/apis/web-api/rate-limits */
export const slack: Provider = {
  name: 'Slack',
  errorShape: ({ status }) => ({ ok: false, error: status === 401 ? 'invalid_auth' : 'ratelimited' }),
  origins: 'https://slack.com',
  scope: 'route',
  limitScope: 'model',
  signals: [
    // Errors come with 200; others that say ok: false are about the request.
    { status: 200, code: ['ratelimited', 'rate_limited'], means: 'rate-limit' },
    {
      status: 200,
      code: ['internal_error', 'fatal_error', 'service_unavailable', 'request_timeout'],
      means: 'overload',
    },
    {
      status: 200,
      code: ['invalid_auth', 'token_revoked', 'token_expired', 'account_inactive', 'not_authed'],
      means: 'invalid-key',
    },
  ],
}
