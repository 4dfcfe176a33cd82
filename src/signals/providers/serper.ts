import { messageWith } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://serper.dev */
export const serper: Provider = {
  name: 'Serper',
  errorShape: messageWith('statusCode'),
  origins: 'https://google.serper.dev',
  auth: { header: 'x-api-key' },
  signals: [
    { status: 400, text: /not enough credits/i, means: 'quota', scope: 'account' },
    { status: 403, text: /unauthorized/i, means: 'invalid-key' },
  ],
}
