import { randomBytes } from 'node:crypto'
import { hashToken } from 'fetch-keypool/gateway'

/** Makes a token that nobody can guess, and its hash. */
export function makeToken(): void {
  const token = `kp_${randomBytes(24).toString('base64url')}`
  process.stdout.write(
    `token (for the caller, shown this once): ${token}\nhash (for the configuration):            ${hashToken(token)}\n`,
  )
}
