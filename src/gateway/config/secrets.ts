import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { InvalidOptionError } from '../../errors.js'

/** Where secrets are found. */
export interface SecretSources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The folder that paths of files begin in. */
  readonly folder: string
  /** Told of each file that was read, so that its changes are seen. */
  read?(file: string): void
}

const RESOLVED: unique symbol = Symbol('resolved') as never

/** Notes that a configuration's secrets are in it: what they hold may look like the name of another. */
export function resolved<Config extends object>(config: Config): Config {
  return Object.assign(config, { [RESOLVED]: true })
}

export function isResolved(config: object): boolean {
  return RESOLVED in config
}

/**
 * Puts the environment's values in the place of `${NAME}` (`${NAME:-otherwise}`), and a file's text in the place of
 * `file:path`, wherever a text stands.
 *
 * @throws InvalidOptionError for a variable or a file that is not there
 */
export function resolveSecrets(value: unknown, sources: SecretSources, at = ''): unknown {
  if (typeof value === 'string') return resolveText(value, sources, at)
  if (Array.isArray(value)) return value.map((each, index) => resolveSecrets(each, sources, `${at}[${index}]`))
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name,
      resolveSecrets(each, sources, at === '' ? name : `${at}.${name}`),
    ]),
  )
}

function resolveText(text: string, { env, folder, read }: SecretSources, at: string): string {
  const whole = text.replace(
    /\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}/g,
    (_, name: string, otherwise?: string) => {
      const value = env[name] ?? otherwise
      if (value === undefined) throw new InvalidOptionError(at, `the environment to have ${name}`, 'nothing')
      return value
    },
  )
  if (!whole.startsWith('file:')) return whole
  const file = resolve(folder, whole.slice('file:'.length))
  read?.(file)
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new InvalidOptionError(at, 'a file that can be read', (error as Error).message)
  }
}

/** The keys in a text: one a line, or with commas between them; lines that begin with # are left out. */
export function splitKeys(text: string): string[] {
  return text
    .split(/[\n,]/)
    .map(key => key.trim())
    .filter(key => key !== '' && !key.startsWith('#'))
}
