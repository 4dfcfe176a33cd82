import { readFileSync } from 'node:fs'
import { dirname, extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { InvalidOptionError, KeypoolError } from '../../errors.js'
import type { GatewayConfig } from './config.js'
import { findNodeAtLocation, type ParseError, parse, parseTree, printParseErrorCode } from './jsonc.js'
import { checkConfig } from './schema.js'
import { resolved, resolveSecrets } from './secrets.js'

/** A configuration with what it was read of. */
export interface ReadConfig {
  readonly config: GatewayConfig
  /** The file itself, and those that its secrets are in. */
  readonly files: readonly string[]
  /** The same failure with the place in the file, where that is known. */
  locate(error: unknown): unknown
}

/**
 * Reads a configuration: JSON (comments and trailing commas are no harm), or a module (`.js`, `.mjs`, `.ts`) whose
 * default export it is, or a function that makes it.
 *
 * @throws KeypoolError with `ERR_CONFIG`, which names the file and, of JSON, the line
 */
export async function readConfig(
  path: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Promise<ReadConfig> {
  const file = resolve(path)
  const files = [file]
  const isJson = ['.json', '.jsonc', ''].includes(extname(file))
  const text = isJson ? readText(file) : undefined
  const locate = (error: unknown) => located(error, path, text)
  try {
    const value = text === undefined ? await load(file) : parseJson(text, path)
    const given = resolveSecrets(value, { env, folder: dirname(file), read: each => files.push(each) })
    return { config: resolved(checkConfig(given, secretsOf(value, given))), files, locate }
  } catch (error) {
    throw locate(error)
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new KeypoolError('ERR_CONFIG', `The configuration can't be read: ${(error as Error).message}.`, {
      cause: error,
    })
  }
}

function parseJson(text: string, path: string): unknown {
  const errors: ParseError[] = []
  const value = parse(text, errors, { allowTrailingComma: true })
  const [first] = errors
  if (!first) return value
  throw new KeypoolError(
    'ERR_CONFIG',
    `${path}:${placeOf(text, first.offset)}: no JSON (${printParseErrorCode(first.error)}).`,
  )
}

/** How often a module was loaded: each time anew, or a change would not be seen. */
let loads = 0

async function load(file: string): Promise<unknown> {
  const url = `${pathToFileURL(file).href}?load=${++loads}`
  let module: { default?: unknown }
  try {
    module = /\.[cm]?ts$/.test(file) ? await importTypeScript(file) : ((await import(url)) as { default?: unknown })
  } catch (error) {
    if (KeypoolError.is(error)) throw error
    throw new KeypoolError('ERR_CONFIG', `${file} can't be loaded: ${(error as Error).message}`, { cause: error })
  }
  const given = module.default
  return typeof given === 'function' ? await given() : given
}

async function importTypeScript(file: string): Promise<{ default?: unknown }> {
  let jiti: typeof import('jiti')
  try {
    jiti = await import('jiti')
  } catch (error) {
    const message = "A configuration in TypeScript needs the package 'jiti': npm install jiti"
    throw new KeypoolError('ERR_CONFIG', message, { cause: error })
  }
  return jiti.createJiti(import.meta.url, { moduleCache: false, fsCache: false }).import(file)
}

/** What the environment and files have brought: no message may quote it. */
function secretsOf(before: unknown, after: unknown): string[] {
  if (typeof after === 'string') return before === after || after === '' ? [] : [after]
  if (typeof after !== 'object' || after === null) return []
  return Object.entries(after).flatMap(([name, each]) => secretsOf((before as Record<string, unknown>)[name], each))
}

function located(error: unknown, path: string, text: string | undefined): unknown {
  if (!KeypoolError.is(error, 'ERR_INVALID_OPTION')) return error
  const place = text === undefined ? undefined : placeOfOption(text, error.option)
  const where = place === undefined ? path : `${path}:${place}`
  return Object.assign(new InvalidOptionError(error.option, error.expected, error.received), {
    message: `${where}: ${error.message}`,
  })
}

/** The line and column of an option, or of what is nearest above it. */
function placeOfOption(text: string, option: string): string | undefined {
  const tree = parseTree(text, [], { allowTrailingComma: true })
  if (!tree) return undefined
  // Names of routes hold dots and slashes: each is tried as a whole.
  const parts: (string | number)[] = []
  for (const part of option.match(/\/[^.[\]]+(?:\.[^.[\]/]+(?=\.|$))*?(?=\.|\[|$)|\[\d+\]|[^.[\]]+/g) ?? []) {
    parts.push(/^\[\d+\]$/.test(part) ? Number(part.slice(1, -1)) : part)
  }
  for (let length = parts.length; length > 0; length--) {
    const node = findNodeAtLocation(tree, parts.slice(0, length))
    if (node) return placeOf(text, node.parent?.type === 'property' ? node.parent.offset : node.offset)
  }
  return placeOf(text, tree.offset)
}

function placeOf(text: string, offset: number): string {
  const before = text.slice(0, offset).split('\n')
  return `${before.length}:${before.at(-1)!.length + 1}`
}
