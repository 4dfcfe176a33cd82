import { openAiError } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://api-docs.deepseek.com/quick_start/error_codes and …/rate_limit */
export const deepseek: Provider = {
  name: 'DeepSeek',
  errorShape: openAiError,
  origins: 'https://api.deepseek.com',
  // Requests at once are counted for the account: it is free again when one of them ends.
  limitScope: 'account',
  signals: [{ status: 402, means: 'quota', scope: 'account' }],
}
