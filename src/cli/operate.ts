import { KeypoolError, type KeySnapshot } from 'fetch-keypool'

/** A running gateway, and who asks it. */
export interface Remote {
  readonly gateway: string
  readonly token: string | undefined
  /** Whether to write what came as JSON. */
  readonly json: boolean
}

interface Overview {
  readonly routes: readonly {
    readonly path: string
    readonly keys: readonly (KeySnapshot & { attempts: number })[]
    readonly stats: { readonly requests: number; readonly waiting: number; readonly failed: number }
    readonly diagnosis: string
  }[]
}

/** How each key is doing. */
export async function status(remote: Remote): Promise<void> {
  const overview = (await ask(remote, 'overview')) as Overview
  if (remote.json) return write(JSON.stringify(overview, undefined, 2))
  for (const { path, keys, stats } of overview.routes) {
    write(`${path}: ${stats.requests} calls, ${stats.waiting} waiting, ${stats.failed} failed`)
    list(keys)
  }
}

/** Why keys run out, in words. */
export async function diagnose(remote: Remote): Promise<void> {
  const overview = (await ask(remote, 'overview')) as Overview
  if (remote.json)
    return write(
      JSON.stringify(
        overview.routes.map(({ path, diagnosis }) => ({ path, diagnosis })),
        undefined,
        2,
      ),
    )
  for (const { path, diagnosis } of overview.routes) write(`${path}\n${diagnosis}\n`)
}

/** Lists keys, and changes them. */
export async function keys(
  remote: Remote,
  route: string | undefined,
  [action = 'list', what]: readonly string[],
): Promise<void> {
  if (!['list', 'add', 'remove', 'disable', 'enable', 'reset'].includes(action)) {
    throw new KeypoolError('ERR_CONFIG', `keys: list, add, remove, disable, enable or reset, not '${action}'.`)
  }
  if (action === 'list' && route === undefined) return listAll(remote)
  const path = route ?? (await onlyRoute(remote))
  if (action === 'list') return show(remote, await ask(remote, `keys${path}`))
  if (what === undefined && action !== 'reset') throw new KeypoolError('ERR_CONFIG', `keys ${action}: which one?`)
  const key = action === 'add' ? (what === '-' ? await standardInput() : what) : undefined
  const body = key === undefined ? { action, ...(what === undefined ? {} : { id: what }) } : { action, key }
  show(remote, await ask(remote, `keys${path}`, body))
}

async function listAll(remote: Remote): Promise<void> {
  const { routes } = (await ask(remote, 'overview')) as Overview
  if (remote.json)
    return write(
      JSON.stringify(
        routes.map(({ path, keys }) => ({ path, keys })),
        undefined,
        2,
      ),
    )
  for (const { path, keys } of routes) {
    write(path)
    list(keys)
  }
}

async function onlyRoute(remote: Remote): Promise<string> {
  const { routes } = (await ask(remote, 'overview')) as Overview
  if (routes.length === 1) return routes[0]!.path
  throw new KeypoolError('ERR_CONFIG', `--route is needed: ${routes.map(({ path }) => path).join(', ')}.`)
}

async function ask({ gateway, token }: Remote, path: string, body?: object): Promise<unknown> {
  const url = `${gateway.replace(/\/$/, '')}/__keypool/api/${path}`
  let answer: Response
  try {
    answer = await fetch(url, {
      method: body ? 'POST' : 'GET',
      headers: {
        ...(token ? { authorization: `Bearer ${token}` } : {}),
        ...(body ? { 'content-type': 'application/json' } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
  } catch (error) {
    throw new KeypoolError('ERR_CONFIG', `No gateway answers at ${gateway}.`, { cause: error })
  }
  const given = (await answer.json().catch(() => undefined)) as { title?: string; detail?: string } | undefined
  if (answer.ok) return given
  const said = [given?.title ?? `it answered with ${answer.status}`, given?.detail].filter(Boolean).join(': ')
  throw new KeypoolError('ERR_CONFIG', `${gateway}: ${said}${answer.status === 401 ? hint(token) : ''}`)
}

function hint(token: string | undefined): string {
  return token === undefined ? ' (--token, or KEYPOOL_TOKEN in the environment)' : ': this one is not known'
}

function show({ json }: Remote, given: unknown): void {
  const { keys } = given as { keys: KeySnapshot[] }
  if (json) write(JSON.stringify(keys, undefined, 2))
  else list(keys)
}

function list(keys: readonly KeySnapshot[]): void {
  for (const { id, state, cause, until, limits } of keys) {
    const why = cause ? ` (${cause})` : ''
    const back = until ? `, back ${new Date(until).toISOString()}` : ''
    const left = limits.map(each => `${each.remaining} of ${each.limit ?? '?'} ${each.unit}`).join(', ')
    write(`  ${id.padEnd(16)} ${state}${why}${back}${left ? `  ${left}` : ''}`)
  }
}

function write(text: string): void {
  process.stdout.write(`${text}\n`)
}

async function standardInput(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin) text += chunk
  return text.trim()
}
