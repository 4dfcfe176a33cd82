import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import KeyvRedis from '@keyv/redis'
import { type CacheEntry, type CacheStore, wrapFetch } from 'fetch-keypool'
import { type KeyvLike, keyvStore } from 'fetch-keypool/keyv'
import Keyv from 'keyv'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/cache/memory-store.js'
import { KeyvSqlite } from '../helpers/keyv-sqlite.js'
import { loopback } from '../helpers/loopback.js'
import { hasRedis, type RunningRedis, startRedis } from '../helpers/redis.js'

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))

const entry = (over: Partial<CacheEntry> = {}): CacheEntry => ({
  variant: '',
  vary: [],
  status: 200,
  statusText: 'OK',
  headers: [
    ['content-type', 'text/plain'],
    ['set-cookie', 'a=1'],
    ['set-cookie', 'b=2'],
  ],
  url: 'https://api.example.com/x',
  body: new Uint8Array([0, 1, 127, 128, 255]),
  receivedAt: 1_788_696_000_000,
  initialAge: 0,
  lifetime: 60_000,
  revalidate: 'may-be-stale',
  staleWhileRevalidate: 0,
  staleIfError: 0,
  keyId: 'key-1',
  ...over,
})

const folder = mkdtempSync(join(tmpdir(), 'keypool-cache-'))
let redis: RunningRedis | undefined
beforeAll(async () => {
  if (hasRedis) redis = await startRedis()
})
afterAll(async () => {
  await redis?.stop()
  rmSync(folder, { recursive: true, force: true })
})

interface Opened {
  readonly store: CacheStore
  close(): Promise<unknown>
}
const onKeyv = (keyv: Keyv): Opened => ({ store: keyvStore(keyv), close: () => keyv.disconnect() })
const STORES: [name: string, isHere: boolean, open: () => Opened][] = [
  [
    'in memory',
    true,
    () => ({
      store: memoryStore({ maxBytes: 1e6, maxEntries: 100, now: () => Date.now() }),
      close: async () => undefined,
    }),
  ],
  ['on a Keyv in memory', true, () => onKeyv(new Keyv())],
  ['on a Keyv on SQLite', true, () => onKeyv(new Keyv({ store: new KeyvSqlite(join(folder, 'contract.sqlite')) }))],
  ['on a Keyv on Redis', hasRedis, () => onKeyv(new Keyv({ store: new KeyvRedis(redis!.url) }))],
]

describe.each(STORES)('a store %s', (_, isHere, open) => {
  it.runIf(isHere)('gives back what it was given, to the byte', async () => {
    const { store, close } = open()
    const record = [entry(), entry({ variant: 'of b', vary: ['accept'], body: null, status: 204, keyId: null })]
    await store.set('GET https://api.example.com/x', record, 60_000)
    expect(await store.get('GET https://api.example.com/x')).toEqual(record)
    await close()
  })

  it.runIf(isHere)('has nothing of what it was not given, or was told to delete', async () => {
    const { store, close } = open()
    expect((await store.get('GET https://api.example.com/none')) ?? undefined).toBeUndefined()
    await store.set('GET https://api.example.com/y', [entry()], 60_000)
    await store.delete('GET https://api.example.com/y')
    await store.delete('GET https://api.example.com/y')
    expect((await store.get('GET https://api.example.com/y')) ?? undefined).toBeUndefined()
    await close()
  })

  it.runIf(isHere)('puts a new record in the place of the old one', async () => {
    const { store, close } = open()
    await store.set('k', [entry()], 60_000)
    await store.set('k', [entry({ status: 404 })], 60_000)
    expect((await store.get('k'))?.map(({ status }) => status)).toEqual([404])
    await close()
  })

  it.runIf(isHere)('drops a record when its time is over', async () => {
    const { store, close } = open()
    await store.set('brief', [entry()], 30)
    await pause(60)
    expect((await store.get('brief')) ?? undefined).toBeUndefined()
    await close()
  })
})

describe('a cache on a Keyv', () => {
  const fetchOver = (url: string, keyv: KeyvLike) =>
    wrapFetch(globalThis.fetch, { origins: url, keys: ['key-of-the-pool'], cache: { store: keyvStore(keyv) } })

  it.each([
    ['SQLite', true, () => new Keyv({ store: new KeyvSqlite(join(folder, 'restart.sqlite')) })],
    ['Redis', hasRedis, () => new Keyv({ store: new KeyvRedis(redis!.url) })],
  ] as const)('on %s outlives the process that filled it', async (_, isHere, open) => {
    if (!isHere) return
    const body = new Uint8Array(70_000).map((_, index) => index % 251)
    const server = await loopback(() => ({ headers: { 'cache-control': 'max-age=60' }, body }))
    const first = open()
    await (await fetchOver(server.url, first)(`${server.url}/x`)).arrayBuffer()
    await pause(50)
    await first.disconnect()
    const second = open()
    const again = await fetchOver(server.url, second)(`${server.url}/x`)
    expect(new Uint8Array(await again.arrayBuffer())).toEqual(body)
    expect(again.headers.get('age')).not.toBeNull()
    expect(server.received).toHaveLength(1)
    await second.disconnect()
  })

  it.each([
    ['text', 'nonsense'],
    ['of another version', JSON.stringify({ version: 0, entries: [] })],
    ['without what an entry has', JSON.stringify({ version: 1, entries: [{ status: 200 }] })],
    ['whose body was cut short', JSON.stringify({ version: 1, entries: [{ ...entry(), body: 'AAE=', size: 5 }] })],
    ['of nothing', JSON.stringify({ version: 1, entries: [null] })],
    ['a number', 5],
  ])('takes a record that is %s for a miss, and deletes it', async (_, value) => {
    const server = await loopback(() => ({ headers: { 'cache-control': 'no-store' }, body: 'new' }))
    const keyv = new Keyv()
    const key = `GET ${server.url}/x`
    await keyv.set(key, value)
    expect(await (await fetchOver(server.url, keyv)(`${server.url}/x`)).text()).toBe('new')
    await pause(20)
    expect(await keyv.get(key)).toBeUndefined()
  })

  it('keeps no value of a key', async () => {
    const server = await loopback(() => ({ headers: { 'cache-control': 'max-age=60' }, body: 'x' }))
    const written: unknown[] = []
    const keyv = new Keyv()
    const spy: KeyvLike = {
      get: key => keyv.get(key),
      set(...all) {
        written.push(all)
        return keyv.set(...all)
      },
      delete: key => keyv.delete(key),
    }
    await (await fetchOver(server.url, spy)(`${server.url}/x`)).text()
    await pause(20)
    expect(written).toHaveLength(1)
    expect(JSON.stringify(written)).not.toContain('key-of-the-pool')
  })

  it.runIf(hasRedis)('whose backend is gone costs the cache, and nothing else', async () => {
    const own = await startRedis()
    const backend = new KeyvRedis({ url: own.url, socket: { reconnectStrategy: false } })
    const keyv = new Keyv({ store: backend })
    const failures: unknown[] = []
    keyv.on('error', error => failures.push(error))
    const server = await loopback(() => ({ headers: { 'cache-control': 'max-age=60' }, body: 'fine' }))
    const fetch = fetchOver(server.url, keyv)
    expect(await (await fetch(`${server.url}/x`)).text()).toBe('fine')
    await own.stop()
    expect(await (await fetch(`${server.url}/y`)).text()).toBe('fine')
    expect(await (await fetch(`${server.url}/y`)).text()).toBe('fine')
  })
})
