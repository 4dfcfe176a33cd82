import { randomBytes } from 'node:crypto'
import { closeSync, constants, mkdirSync, openSync, readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { open, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/** Nobody else may read it. */
const MODE = 0o600
/** Not on every system. */
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0
const TEMPORARY = /^\.[0-9a-f]{16}\.tmp$/

/**
 * Opens a file to write at its end; nobody else may read it where it is made now. A symbolic link is not followed, as somebody
 * else may have put it there.
 *
 * @throws an error of the system: `ELOOP` for a symbolic link
 */
export function openToAppend(path: string): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  return openSync(path, constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | NO_FOLLOW, MODE)
}

/** The text of a file that is no symbolic link; `undefined` where there is none. @throws an error of the system */
export function readPrivately(path: string): string | undefined {
  let file: number
  try {
    file = openSync(path, constants.O_RDONLY | NO_FOLLOW)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  try {
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}

/**
 * Writes a file as a whole: under a name that nobody can guess, and then in the place of the old one, so that a power cut leaves
 * one of the two.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomBytes(8).toString('hex')}.tmp`
  const file = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | NO_FOLLOW, MODE)
  try {
    await file.writeFile(text)
    await file.sync()
  } catch (error) {
    await unlink(temporary)
    throw error
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}

/** Removes what a process has left that was killed while it wrote. */
export function removeTemporaryFiles(path: string): void {
  const name = basename(path)
  let all: string[]
  try {
    all = readdirSync(dirname(path))
  } catch {
    // There is no such folder yet: writing says so, if it stays like that.
    return
  }
  for (const each of all) {
    if (each.startsWith(name) && TEMPORARY.test(each.slice(name.length))) unlinkSync(join(dirname(path), each))
  }
}
