import { messageWith } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://openweathermap.org/faq */
export const openweather: Provider = {
  name: 'OpenWeather',
  errorShape: messageWith('cod'),
  origins: 'https://api.openweathermap.org',
  auth: { query: 'appid' },
  // One message for a minute's limit and a month's: it begins with a minute and grows with each refusal.
  signals: [{ status: 429, means: 'quota', wait: '60s' }],
}
