import type { Provider } from '../provider.js'

/** https://developer.spotify.com/documentation/web-api/concepts/rate-limits */
export const spotify: Provider = {
  name: 'Spotify',
  errorShape: ({ message, status }) => ({ error: { status, message } }),
  origins: 'https://api.spotify.com',
  // Counted for the client id, whatever token it uses.
  limitScope: 'account',
  signals: [{ status: 429, code: 'QUOTA_EXCEEDED', means: 'quota' }],
}
