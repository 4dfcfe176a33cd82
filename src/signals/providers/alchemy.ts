import { numberedError } from '../error-shapes.js'
import type { Provider } from '../provider.js'

/** https://docs.alchemy.com/reference/error-reference */
export const alchemy: Provider = {
  name: 'Alchemy',
  errorShape: numberedError,
  origins: [
    'https://eth-mainnet.g.alchemy.com',
    'https://eth-sepolia.g.alchemy.com',
    'https://base-mainnet.g.alchemy.com',
    'https://arb-mainnet.g.alchemy.com',
    'https://opt-mainnet.g.alchemy.com',
    'https://polygon-mainnet.g.alchemy.com',
  ],
  auth: { path: ['/v2/{key}', '/nft/v3/{key}', '/nft/v2/{key}'] },
  signals: [
    { status: 403, text: /monthly capacity limit/i, means: 'quota', wait: { next: 'month' } },
    { status: 403, text: /app is inactive/i, means: 'invalid-key' },
    { status: 403, text: /whitelist/i, means: 'answer' },
    { status: 200, text: /"error":\s*\{\s*"code":\s*429\b/, means: 'rate-limit' },
    { status: 429, means: 'rate-limit' },
  ],
}
