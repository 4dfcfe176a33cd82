import type { Provider } from '../provider.js'

/** https://developer.atlassian.com/cloud/jira/platform/rate-limiting */
export const atlassianJira: Provider = {
  name: 'Jira',
  errorShape: ({ message }) => ({ errorMessages: [message], errors: {} }),
  auth: { header: 'authorization', format: 'Basic {key}' },
  scope: 'route',
  signals: [
    { status: 429, headers: { 'ratelimit-reason': /quota/ }, means: 'quota', scope: 'key' },
    { status: 429, headers: { 'x-beta-ratelimit-reason': /quota/ }, means: 'quota', scope: 'key' },
    { status: 429, means: 'rate-limit', scope: 'model' },
    { status: [200, 404], headers: { 'x-seraph-loginreason': /AUTHENTICATED_FAILED/ }, means: 'invalid-key' },
  ],
}
