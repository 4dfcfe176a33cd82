import { renameSync } from 'node:fs'
import { KeypoolError } from '../../errors.js'
import type { KeptTallies } from '../policies/counters.js'
import { readPrivately, removeTemporaryFiles, replaceFile } from '../private-file.js'
import { StateBook, type StateData } from './state-book.js'

/** Changes are written after so long, in milliseconds. */
const PAUSE = 1_000
/** Changes with the form of what is written. */
const VERSION = 1

/** A state book, kept in a file. */
export interface StateFile {
  readonly book: StateBook
  /** What budgets had counted when it was last written, and who is asked for it from now on. */
  readonly tallies: Readonly<Record<string, KeptTallies>>
  keep(read: () => Record<string, KeptTallies>): void
  changed(): void
  /** Writes what has changed, and waits till it is there. */
  flush(): Promise<void>
}

/**
 * Opens the file, or begins anew: what can't be read is set aside, under its name and `.corrupt`.
 *
 * It is readable by nobody else, and no symbolic link.
 *
 * @param warn - told in words what went wrong
 * @throws KeypoolError with `ERR_CONFIG` for a file that can't be opened
 */
export function openStateFile(path: string | undefined, warn: (message: string) => void): StateFile {
  let isChanged = false
  let timer: NodeJS.Timeout | undefined
  let writing = Promise.resolve()
  const changed = () => {
    isChanged = true
    if (path === undefined || timer) return
    timer = setTimeout(() => {
      timer = undefined
      void flush()
    }, PAUSE)
    timer.unref()
  }
  const { quotas, tallies } = path === undefined ? empty() : read(path, warn)
  const book = new StateBook(quotas, changed)
  let readTallies = (): Record<string, KeptTallies> => ({})

  function flush(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    if (path === undefined || !isChanged) return writing
    isChanged = false
    const text = JSON.stringify({ version: VERSION, quotas: book.read(), tallies: readTallies() })
    writing = writing
      .then(() => replaceFile(path, text))
      .catch((error: Error) => warn(`The state can't be written (${error.message}).`))
    return writing
  }
  return {
    ...{ book, tallies, changed, flush },
    keep(read) {
      readTallies = read
    },
  }
}

interface Written {
  readonly quotas: StateData
  readonly tallies: Readonly<Record<string, KeptTallies>>
}
const empty = (): Written => ({ quotas: {}, tallies: {} })

function read(path: string, warn: (message: string) => void): Written {
  removeTemporaryFiles(path)
  let text: string | undefined
  try {
    text = readPrivately(path)
  } catch (error) {
    throw new KeypoolError('ERR_CONFIG', `state: ${reasonOf(error)}.`, { cause: error })
  }
  if (text === undefined) return empty()
  try {
    const { version, quotas, tallies } = JSON.parse(text) as Partial<Written> & {
      version?: unknown
    }
    if (version !== VERSION || !isData(quotas) || !isTallies(tallies)) throw new Error('it is no state of this version')
    return { quotas, tallies: tallies as Written['tallies'] }
  } catch (error) {
    const aside = `${path}.corrupt`
    renameSync(path, aside)
    warn(`The state can't be read (${(error as Error).message}); it is set aside as ${aside}.`)
    return empty()
  }
}

function isData(value: unknown): value is StateData {
  if (typeof value !== 'object' || value === null) return false
  return Object.values(value).every(
    each =>
      typeof each?.at === 'number' &&
      typeof each.news === 'object' &&
      each.news !== null &&
      typeof each.used === 'object' &&
      each.used !== null,
  )
}

function isTallies(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.values(value).every(
    (policy: unknown) =>
      typeof policy === 'object' &&
      policy !== null &&
      Object.values(policy).every(
        each => typeof each?.until === 'number' && typeof each.used === 'object' && each.used !== null,
      ),
  )
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code === 'ELOOP' ? 'it is a symbolic link, which is not followed' : message
}
