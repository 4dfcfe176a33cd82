import type { Provider } from '../provider.js'

/** https://www.alphavantage.co/support/ */
export const alphavantage: Provider = {
  name: 'Alpha Vantage',
  errorShape: ({ message }) => ({ Information: message }),
  origins: 'https://www.alphavantage.co',
  auth: { query: 'apikey' },
  signals: [
    // All errors come with 200, in an object whose only field is one of these.
    { status: 200, text: /^\s*\{\s*"Information":[^}]*\d requests? per second/, means: 'rate-limit', wait: '1s' },
    {
      status: 200,
      text: /^\s*\{\s*"Information":[^}]*\d requests per day/,
      means: 'quota',
      wait: { next: 'day', timeZone: 'America/New_York' },
    },
    { status: 200, text: /^\s*\{\s*"Note":[^}]*call frequency/, means: 'rate-limit', wait: '60s' },
    { status: 200, text: /^\s*\{\s*"Error Message":[^}]*apikey/, means: 'invalid-key' },
  ],
}
