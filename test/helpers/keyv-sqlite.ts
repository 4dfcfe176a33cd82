import { EventEmitter } from 'node:events'
import sqlite from 'node-sqlite3-wasm'

/** A Keyv backend on SQLite, as those are made that Keyv has for it, on a build that needs no compiler. */
export class KeyvSqlite extends EventEmitter {
  readonly opts = {}
  namespace: string | undefined
  readonly #database: InstanceType<typeof sqlite.Database>

  constructor(file: string) {
    super()
    this.#database = new sqlite.Database(file)
    this.#database.exec('CREATE TABLE IF NOT EXISTS keyv (key TEXT PRIMARY KEY, value TEXT)')
  }

  async get<Value>(key: string): Promise<Value | undefined> {
    const row = this.#database.get('SELECT value FROM keyv WHERE key = ?', [key]) as { value: Value } | null
    return row?.value
  }

  async set(key: string, value: string): Promise<void> {
    this.#database.run('INSERT OR REPLACE INTO keyv (key, value) VALUES (?, ?)', [key, value])
  }

  async delete(key: string): Promise<boolean> {
    return this.#database.run('DELETE FROM keyv WHERE key = ?', [key]).changes > 0
  }

  async clear(): Promise<void> {
    this.#database.run('DELETE FROM keyv')
  }

  async disconnect(): Promise<void> {
    this.#database.close()
  }
}
