import type { Provider } from '../provider.js'

/** https://shopify.dev/docs/api/usage/limits */
export const shopify: Provider = {
  name: 'Shopify',
  errorShape: ({ message }) => ({ errors: message }),
  auth: { header: 'x-shopify-access-token' },
  signals: [
    { status: 200, text: /"code":\s*"THROTTLED"/, means: 'rate-limit', wait: ({ body }) => untilRestored(body.json) },
    { status: 402, means: 'quota', scope: 'account' },
  ],
}

/** How long the bucket takes to hold what a query costs. */
function untilRestored(json: unknown): number | undefined {
  const cost = (json as Answer | undefined)?.extensions?.cost
  const { currentlyAvailable = 0, restoreRate = 0 } = cost?.throttleStatus ?? {}
  const missing = (cost?.requestedQueryCost ?? 0) - currentlyAvailable
  return restoreRate > 0 && missing > 0 ? Math.ceil(missing / restoreRate) * 1000 : undefined
}

interface Answer {
  extensions?: {
    cost?: { requestedQueryCost?: number; throttleStatus?: { currentlyAvailable?: number; restoreRate?: number } }
  }
}
