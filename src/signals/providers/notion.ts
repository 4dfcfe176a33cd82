import type { Provider } from '../provider.js'

/** https://developers.notion.com/reference/request-limits and …/status-codes */
export const notion: Provider = {
  name: 'Notion',
  errorShape: ({ message, status }) => ({
    object: 'error',
    status,
    code: status === 401 ? 'unauthorized' : 'rate_limited',
    message,
  }),
  origins: 'https://api.notion.com',
  headers: { 'notion-version': '2022-06-28' },
  signals: [
    { code: 'rate_limited', means: 'rate-limit' },
    { code: ['service_overload', 'service_unavailable'], means: 'overload' },
    { status: 403, code: 'restricted_resource', means: 'answer' },
  ],
}
