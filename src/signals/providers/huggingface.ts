import type { Provider } from '../provider.js'

/** https://huggingface.co/docs/hub/rate-limits */
export const huggingface: Provider = {
  name: 'Hugging Face',
  errorShape: ({ message }) => ({ error: message }),
  origins: ['https://huggingface.co', 'https://router.huggingface.co'],
  signals: [
    { status: 402, means: 'quota', scope: 'account', wait: { next: 'month' } },
    // Gated and missing repositories answer as if the token were bad.
    { status: [401, 403], headers: { 'x-error-code': /./ }, means: 'answer' },
  ],
}
