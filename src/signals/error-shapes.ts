import type { ErrorShape } from './provider.js'

/** OpenAI's, and that of the many services that took it over. */
export const openAiError: ErrorShape = ({ message, type }) => ({
  error: { message, type, code: 'ERR_POOL_EXHAUSTED' },
})

/** An error object with the status as its code, as OpenRouter and others have it. */
export const numberedError: ErrorShape = ({ message, status }) => ({ error: { code: status, message } })

/** Google's (AIP-193). */
export const googleError: ErrorShape = ({ message, status }) => ({
  error: { code: status, message, status: status === 401 ? 'UNAUTHENTICATED' : 'RESOURCE_EXHAUSTED' },
})

/** A message at the top. */
export const messageAtTop: ErrorShape = ({ message }) => ({ message })

/** A message at the top, with the status under the name that the service has for it. */
export function messageWith(statusName: string): ErrorShape {
  return ({ message, status }) => ({ message, [statusName]: status })
}
