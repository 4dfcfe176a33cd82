import type { Provider } from '../provider.js'

/** https://developers.google.com/maps/documentation/geocoding/requests-geocoding#StatusCodes */
export const googleMaps: Provider = {
  name: 'Google Maps',
  errorShape: ({ message, status }) => ({
    error_message: message,
    results: [],
    status: status === 401 ? 'REQUEST_DENIED' : 'OVER_QUERY_LIMIT',
  }),
  origins: 'https://maps.googleapis.com',
  auth: { query: 'key' },
  signals: [
    // The legacy services answer 200 and tell in `status`.
    {
      status: 200,
      code: 'OVER_QUERY_LIMIT',
      text: /daily/i,
      means: 'quota',
      wait: { next: 'day', timeZone: 'America/Los_Angeles' },
    },
    { status: 200, code: 'OVER_DAILY_LIMIT', means: 'quota' },
    { status: 200, code: 'OVER_QUERY_LIMIT', means: 'rate-limit' },
    { status: 200, code: 'UNKNOWN_ERROR', means: 'overload' },
    { status: 200, code: 'REQUEST_DENIED', means: 'invalid-key' },
    { code: 'API_KEY_INVALID', means: 'invalid-key' },
  ],
}
