import type { AllowConfig } from '../config/config.js'
import type { Policy } from './policy.js'
import { anyOf } from './wildcard.js'

/** Requests ask only for what is on the lists. */
export function allow(
  name: string,
  routes: readonly string[] | undefined,
  { methods, paths, models }: AllowConfig,
): Policy {
  const isMethod = methods && new Set(methods.map(method => method.toUpperCase()))
  const isPath = paths && anyOf(paths)
  const isModel = models && anyOf(models)
  return {
    ...{ name, routes, needsBody: models !== undefined },
    check({ method, readings, models: named, unknownModel }) {
      if (isMethod && !isMethod.has(method)) {
        const headers = { allow: [...isMethod].join(', ') }
        return { status: 405, type: 'method-not-allowed', title: `${method} is not allowed here`, headers }
      }
      if (isPath && !readings.every(isPath)) {
        return { status: 403, type: 'path-not-allowed', title: 'This path is not allowed' }
      }
      if (!isModel) return undefined
      if (!named.every(isModel)) return { status: 403, type: 'model-not-allowed', title: 'This model is not allowed' }
      if (unknownModel === undefined) return undefined
      return {
        ...{
          status: 403,
          type: 'model-not-known',
          title: 'The request must name a model in a way that nobody can misread',
        },
        detail: unknownModel,
      }
    },
  }
}
