import type { AllowConfig } from '../config/config.js'
import { literally } from '../literally.js'
import type { Policy } from './policy.js'

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
    ...{ name, routes, needsModel: models !== undefined },
    check({ method, path, models: named }) {
      if (isMethod && !isMethod.has(method)) {
        const headers = { allow: [...isMethod].join(', ') }
        return { status: 405, type: 'method-not-allowed', title: `${method} is not allowed here`, headers }
      }
      if (isPath && !isPath(path)) return { status: 403, type: 'path-not-allowed', title: 'This path is not allowed' }
      // What names no model and sends nothing uses none: the list of models, say.
      const isReading = named.length === 0 && (method === 'GET' || method === 'HEAD')
      if (isModel && !isReading && (named.length === 0 || !named.every(isModel))) {
        const title = named.length === 0 ? 'The request must name a model' : 'This model is not allowed'
        return { status: 403, type: 'model-not-allowed', title }
      }
      return undefined
    },
  }
}

/** A test for texts that fit one of some patterns, in which `*` stands for anything. */
function anyOf(patterns: readonly string[]): (text: string) => boolean {
  const source = patterns.map(pattern => pattern.split('*').map(literally).join('.*')).join('|')
  const expression = new RegExp(`^(?:${source})$`, 's')
  return text => expression.test(text)
}
