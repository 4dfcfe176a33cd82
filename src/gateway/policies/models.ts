import type { ProviderName } from 'fetch-keypool'
import type { RequestBody } from './request-body.js'

/** The models that a request names, wherever, and whether it is one that may be sent at all where models are on a list. */
export interface NamedModels {
  readonly models: readonly string[]
  /** `undefined`: what the service will take for the model is among them. Else why that can't be known, for the caller. */
  readonly unknown: string | undefined
}

/** No model's name is longer, in characters. */
const LONGEST = 256
/** Where services that have it in the path look for the model, decoded. */
const BY_PATH: { readonly [Name in ProviderName]?: RegExp } = {
  gemini: /\/(?:models|tunedModels)\/([^/:]+)(?=[:/]|$)/,
  'azure-openai': /\/deployments\/([^/]+)(?=\/|$)/,
  // A model may be told by its ARN, which has slashes.
  aws: /^\/model\/(.+)\/(?:invoke|converse|invoke-with-response-stream|converse-stream|count-tokens)$/,
  huggingface: /\/models\/([^/]+(?:\/[^/]+)?)/,
}
/** Where other services, of which nothing is known, may look for it. */
const IN_PATHS = /\/(?:models?|deployments|engines)\/([^/:]+)/g
/** Members and parameters by other names, which some services take for the model, or for models to fall back on. */
const NAMES = /^(?:model|models|model_?(?:id|name)|engine|deployment(?:_?(?:id|name))?|fallback_?models?)$/

export interface ModelRequest {
  readonly method: string
  /** All that the path may be read as. */
  readonly paths: readonly string[]
  readonly search: string
  readonly body: RequestBody
  readonly provider: string | undefined
}

/**
 * Finds all models that a request names. Whoever has a list must find each of them on it: services differ in where they
 * look. What decides is the body, or, for services that document that, the path; a name elsewhere admits nothing.
 */
export function modelsNamed({ method, paths, search, body, provider }: ModelRequest): NamedModels {
  const models = new Set<string>()
  for (const [name, value] of new URLSearchParams(search)) if (isModelName(name)) models.add(value)
  for (const path of paths) for (const [, model] of path.matchAll(IN_PATHS)) models.add(decoded(model!))
  const scheme = BY_PATH[provider as ProviderName]
  const byPath = paths.map(path => scheme?.exec(path)?.[1])
  const isByPath = byPath.length > 0 && byPath.every(each => each !== undefined)
  if (isByPath) {
    models.clear()
    for (const each of byPath) models.add(decoded(each!))
  }
  const unknown = body.kind === 'json' ? addMembers(body.value, models) : undefined
  const named = { models: [...models].map(each => each.slice(0, LONGEST + 1)) }
  if (unknown !== undefined) return { ...named, unknown }
  if (named.models.some(each => each.length > LONGEST)) return { ...named, unknown: 'its name is too long' }
  if (isByPath) return { ...named, unknown: undefined }
  switch (body.kind) {
    case 'none':
      // What sends nothing uses no model: the list of models, say.
      return { ...named, unknown: method === 'GET' || method === 'HEAD' ? undefined : 'the request has no body' }
    case 'opaque':
      return { ...named, unknown: body.why }
    case 'json':
      return { ...named, unknown: typeof body.value.model === 'string' ? undefined : "it has no member 'model'" }
  }
}

/** @returns what is wrong with a member that might be taken for one that names a model */
function addMembers(value: Readonly<Record<string, unknown>>, models: Set<string>): string | undefined {
  for (const [name, member] of Object.entries(value)) {
    if (name === '__proto__') return "it has a member '__proto__'"
    if (!isModelName(name)) continue
    // Some parsers take `Model` for `model`, others don't.
    if (name !== plain(name) && /^models?$/.test(plain(name)))
      return `it has a member ${JSON.stringify(name.slice(0, 40))}`
    const names = Array.isArray(member) ? member : [member]
    if (!names.every(each => typeof each === 'string')) return `its member '${name}' is no name`
    if (name === 'model' && Array.isArray(member)) return "its member 'model' is no name"
    for (const each of names) models.add(each as string)
  }
  const { tools } = value
  if (Array.isArray(tools)) {
    for (const tool of tools) {
      const { model } = (tool ?? {}) as { model?: unknown }
      if (typeof model === 'string') models.add(model)
    }
  }
  return undefined
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    // A percent sign that stands for itself.
    return name
  }
}

function isModelName(name: string): boolean {
  return NAMES.test(plain(name))
}

function plain(name: string): string {
  return name
    .normalize('NFKC')
    .replace(/[\s\p{C}[\]]/gu, '')
    .toLowerCase()
}
