/** Findings of what no other key helps against: the address, a resource, an endpoint, or the requests themselves. */
import { formatDuration } from '../duration.js'
import type { Look } from './diagnosis.js'

/** Less of the attempts than these are not worth a word. */
const NOTABLE = { refusals: 0.01, requestErrors: 0.05 }

export const addressLimit: Look = ({ incidents: { address }, stats }) => {
  const weight = shareOf(address.refusals, stats.attempts)
  if (weight < NOTABLE.refusals) return undefined
  return {
    kind: 'address-limit',
    weight,
    summary: 'The service limits the address that all keys are used from: other keys do not help.',
    keyIds: [],
    evidence: { refusals: address.refusals, attempts: stats.attempts, refusedWithKeys: address.keyIds.join(' ') },
    advice: 'send less from this address, or send from several; more keys change nothing',
  }
}

export const limitedResource: Look = ({ incidents: { resource }, stats }) => {
  const weight = shareOf(resource.refusals, stats.attempts)
  if (weight < NOTABLE.refusals) return undefined
  const [first, ...more] = resource.names
  const what =
    first === undefined
      ? 'What is asked for'
      : more.length === 0
        ? `‘${first}’`
        : `${resource.names.length} resources, ‘${first}’ among them,`
  return {
    kind: 'limited-resource',
    weight,
    summary: `${what} is limited or overloaded at the service, whatever the key.`,
    keyIds: [],
    evidence: { refusals: resource.refusals, attempts: stats.attempts, resources: resource.names.join(' ') || null },
    advice: 'ask for another model or resource meanwhile, or wait: no key is to blame, and more keys change nothing',
  }
}

export const requestErrors: Look = ({ incidents, stats }) => {
  const statuses = [...incidents.requestErrors].sort(([, a], [, b]) => b - a)
  const errors = statuses.reduce((sum, [, count]) => sum + count, 0)
  const share = shareOf(errors, stats.attempts)
  if (share < NOTABLE.requestErrors) return undefined
  const isTooLarge = statuses.some(([status]) => status === 413 || status === 429)
  return {
    kind: 'request-errors',
    weight: share,
    summary: 'The service refuses requests for what they ask: no other key would get another answer.',
    keyIds: [],
    evidence: {
      errors,
      attempts: stats.attempts,
      byStatus: statuses
        .slice(0, 5)
        .map(([status, count]) => `${status}: ${count}`)
        .join(' '),
    },
    advice: isTooLarge
      ? 'read what the answers say; some requests are larger than any limit lets pass: make them smaller'
      : 'read what the answers say, and mend the requests; they go back to the caller as they came',
  }
}

export const deadEndpoints: Look = ({ endpoints, keys }) => {
  const dead = endpoints.filter(({ restsFor }) => restsFor > 0)
  if (dead.length === 0) return undefined
  const keyIds = dead.flatMap(each => each.keyIds)
  return {
    kind: 'dead-endpoint',
    weight: keyIds.length / Math.max(1, keys.length),
    summary:
      'An endpoint of some keys does not answer, or answers with errors of its own: it rests, and others are used.',
    keyIds,
    evidence: {
      endpoints: dead.map(({ url }) => url).join(' '),
      failuresInARow: Math.max(...dead.map(({ failures }) => failures)),
      triedAgainIn: formatDuration(Math.min(...dead.map(({ restsFor }) => restsFor))),
    },
    advice: 'look at the keys’ `baseUrl` and at that endpoint; it is used again as soon as it answers',
  }
}

function shareOf(part: number, all: number): number {
  return Math.min(1, part / Math.max(1, all))
}
