import { describe } from '../describe.js'
import { InvalidOptionError, KeypoolError } from '../errors.js'
import type { Exchange } from '../exchange.js'
import type { Call } from '../http/call.js'
import { canReplay } from '../http/call-body.js'
import type { Weigh } from '../limiter/limiter.js'
import type { Settings } from '../settings.js'
import type { Engine } from './create-pool.js'
import type { Demand } from './demand.js'
import { partitions } from './partition.js'
import type { PooledKey } from './pooled-key.js'

export interface DemandsOptions {
  readonly engine: Pick<Engine, 'traits'>
  readonly settings: Pick<Settings, 'firstOrigin' | 'scope' | 'provider'>
  now(): number
  urlOf(call: Call): string
}

const ONE: Weigh = () => 1
const NONE: readonly string[] = []

/** Turns calls into what they ask of the pool. */
export function demands({ engine, settings, now, urlOf }: DemandsOptions) {
  const { traits } = engine
  const partOf = partitions(settings.scope)
  const limitedBy = settings.provider?.resource
  const resourceOf = limitedBy && partitions(limitedBy)

  function resourcesOf(call: Call, part: string): Pick<Demand, 'resource' | 'resources'> {
    const ofPart = part === '' ? NONE : [part]
    if (!resourceOf) return { resource: part, resources: ofPart }
    const resource = resourceOf(call)
    // A name of a caller's must not be taken for one of the provider's.
    return { resource, resources: resource === '' ? ofPart : [...ofPart, `resource ${resource}`] }
  }

  /** @param patience - how long it may wait, in milliseconds */
  function demandFor({ id, call, signal, preferredKeyId, avoidedKeyId }: Exchange, patience: number): Demand {
    const weigh = traits.costs().size > 0 ? weigher(call) : ONE
    const weight = weigh === ONE ? 1 : heaviest(weigh)
    const part = partOf(call)
    const { resource, resources } = resourcesOf(call, part)
    return {
      callId: id,
      weigh,
      weight,
      ...acceptor(call, weigh, weight, resources),
      part,
      resource,
      resources,
      prefers: preferredKeyId,
      avoids: avoidedKeyId,
      mayProbe: call.body.kind !== 'stream' && (call.body.kind !== 'request' || canReplay(call.body)),
      rank: call.rank,
      deadline: now() + Math.max(0, patience),
      signal,
      summary: () => ({ method: call.method, url: urlOf(call) }),
    }
  }

  /** Which keys can serve a call at all; `undefined`, for speed, where all can. */
  function acceptor(
    call: Call,
    weigh: Weigh,
    weight: number,
    resources: readonly string[],
  ): Pick<Demand, 'accepts' | 'group'> {
    const elsewhere = traits.hasBaseUrls() && call.origin !== settings.firstOrigin
    const fitsAll = weigh === ONE || weight <= traits.leastTokens()
    const whose = resources.join('\n')
    if (fitsAll && !elsewhere) return { accepts: undefined, group: whose }
    const fits = (key: PooledKey) => fitsAll || key.quota.limiter.couldPass(weigh)
    if (!fitsAll && !traits.someKey(fits)) {
      throw new KeypoolError(
        'ERR_COST_EXCEEDS_LIMIT',
        "The request's cost is above what any key's limits could ever let pass.",
      )
    }
    const group = `${elsewhere ? 'elsewhere' : ''} ${fitsAll ? '' : weight} ${whose}`
    return { accepts: key => !(elsewhere && key.baseUrl) && fits(key), group }
  }

  function heaviest(weigh: Weigh): number {
    return Math.max(...[...traits.costs()].map(cost => weigh({ unit: 'tokens', cost })))
  }

  return { demandFor }
}

/** Weighs a request by each limit's own `cost`, which is asked once for each function. */
function weigher(call: Call): Weigh {
  const costs = new Map<(request: Request) => number, number>()
  return ({ unit, cost }) => {
    if (unit !== 'tokens' || !cost) return 1
    let weight = costs.get(cost)
    if (weight === undefined) {
      weight = cost(requestFor(call))
      if (typeof weight !== 'number' || !Number.isFinite(weight) || weight < 0) {
        throw new InvalidOptionError('limits.cost', 'a function that gives a number from 0', describe(weight))
      }
      costs.set(cost, weight)
    }
    return weight
  }
}

/** The call as a `Request`, to look at. */
function requestFor({ url, method, headers, body }: Call): Request {
  if (body.kind === 'request') return body.request.bodyUsed ? new Request(url, { method, headers }) : body.request
  return new Request(url, { method, headers, body: body.kind === 'value' ? body.value : undefined })
}
