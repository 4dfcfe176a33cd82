import type { KeySnapshot } from '../key-snapshot.js'
import type { PoolStats } from './counters.js'
import type { HabitsReading } from './habits.js'
import type { IncidentsReading } from './incidents.js'

/** What may be wrong. */
export type FindingKind =
  /** Limits are exceeded: declared too high, not declared, or too few keys for what is asked. */
  | 'rate-limits'
  /** Requests come in bursts that the limits don't allow, though there are few of them on the whole. */
  | 'bursts'
  /** Calls found no key in time, or their callers gave up waiting for one. */
  | 'turned-away'
  /** The same request is sent again and again: a loop, perhaps. */
  | 'hammering'
  /** Answers that could be kept are asked for again. */
  | 'insufficient-caching'
  /** The service is in trouble. */
  | 'provider-trouble'
  /** A quota or a balance is used up. */
  | 'quota'
  /** Keys are invalid, expired or disabled. */
  | 'invalid-keys'
  /** Keys share one limit. */
  | 'shared-limit'
  /** The address that all keys are used from is limited. */
  | 'address-limit'
  /** A model, or another resource, is limited or overloaded, whatever the key. */
  | 'limited-resource'
  /** Requests are refused for what they ask. */
  | 'request-errors'
  /** A key's own endpoint does not answer. */
  | 'dead-endpoint'

/** One thing that makes keys run out, with what shows it and what to do. */
export interface Finding {
  readonly kind: FindingKind
  /** From 0 to 1: about the share of the work, or of the keys, that it spoils. */
  readonly weight: number
  /** What is the matter, in one sentence. */
  readonly summary: string
  /** The keys that it is about; empty where it is about none in particular. */
  readonly keyIds: readonly string[]
  /** What shows it, in numbers. */
  readonly evidence: Readonly<Record<string, number | string | null>>
  /** What to do. */
  readonly advice: string
}

/** Why keys are running out: the heaviest reason first. */
export interface Diagnosis {
  readonly at: Date
  readonly findings: readonly Finding[]
  /** All of it for people to read. */
  readonly text: string
}

/** All that a diagnosis is made of. */
export interface DiagnosisFacts {
  readonly at: Date
  readonly stats: PoolStats
  readonly keys: readonly KeySnapshot[]
  readonly habits: HabitsReading
  /** Keys that were seen to share a limit. */
  readonly shared: readonly string[]
  /** How many refusals as invalid were not believed, as keys that worked were refused one after another. */
  readonly unbelieved: number
  readonly incidents: IncidentsReading
  /** Endpoints of keys' own. */
  readonly endpoints: readonly EndpointReading[]
}

/** How an endpoint fares. */
export interface EndpointReading {
  readonly url: string
  readonly keyIds: readonly string[]
  /** How often in a row it has failed. */
  readonly failures: number
  /** For how long nothing is sent there, in milliseconds; 0: it is in use. */
  readonly restsFor: number
}

/** Looks for one thing that may be wrong. */
export type Look = (facts: DiagnosisFacts) => Finding | undefined

/** Findings in order, and in words. */
export function diagnosisOf(found: readonly Finding[], at: Date, attempts: number): Diagnosis {
  const findings = [...found].sort((a, b) => b.weight - a.weight)
  return { at, findings, text: textOf(findings, attempts) }
}

function textOf(findings: readonly Finding[], attempts: number): string {
  if (attempts === 0) return 'Nothing was sent yet.'
  if (findings.length === 0) return 'All is well: no key has run out lately, and nothing is wasted that shows.'
  return findings
    .map(({ summary, weight, keyIds, evidence, advice }, index) => {
      const keys =
        keyIds.length > 0 ? `\n   keys: ${keyIds.slice(0, 10).join(', ')}${keyIds.length > 10 ? ', …' : ''}` : ''
      const numbers = Object.entries(evidence).map(([name, value]) => `${name} ${value ?? '?'}`)
      return `${index + 1}. ${summary} (${Math.round(weight * 100)}%)${keys}\n   evidence: ${numbers.join(', ')}\n   to do: ${advice}`
    })
    .join('\n')
}
