import vm from 'node:vm'
import { wrapFetch } from 'fetch-keypool'
import { describe, expect, it } from 'vitest'
import { isConnectionFailure } from '../../src/http/connection-failure.js'
import { loopback } from '../helpers/loopback.js'

/** A realm of its own, as test runners have one: its errors and buffers are of other classes of the same names. */
const realm = vm.createContext({ URLSearchParams, FormData, TextEncoder })
const made = (code: string): never => vm.runInContext(code, realm) as never

describe('a value of another realm', () => {
  it.each<[string, string, string]>([
    ['an ArrayBuffer', 'Uint8Array.of(104, 105).buffer', 'hi'],
    ['bytes', 'Uint8Array.of(104, 105)', 'hi'],
    ['a part of a buffer', 'new Uint8Array([0, 104, 105, 0]).subarray(1, 3)', 'hi'],
    ['a DataView', 'new DataView(Uint8Array.of(104, 105).buffer)', 'hi'],
    ['an object with a toString', '({ toString: () => "hi" })', 'hi'],
    ['an async iterable', '(async function* () { yield new TextEncoder().encode("hi") })()', 'hi'],
  ])('is a body like the platform’s own: %s', async (_, code, expected) => {
    const server = await loopback(({ body }) => ({ body }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], cache: false })
    const init = { method: 'POST', body: made(code), duplex: 'half' } as RequestInit
    expect(await (await fetch(server.url, init)).text()).toBe(expected)
  })

  it('is an init like any other, with a class of its own too', async () => {
    const server = await loopback(({ method, headers, body }) => ({ body: `${method} ${headers['x-a']} ${body}` }))
    const fetch = wrapFetch(globalThis.fetch, { origins: server.url, keys: ['a'], cache: false })
    for (const code of [
      '({ method: "PUT", headers: { "x-a": "b" }, body: "x" })',
      'new (class Init { get method() { return "PUT" } headers = [["x-a", "b"]]; body = "x" })',
      'Object.create({ method: "PUT", headers: { "x-a": "b" }, body: "x" })',
    ]) {
      expect(await (await fetch(server.url, made(code))).text()).toBe('PUT b x')
    }
  })

  it('is an error that says what failed', async () => {
    const errors: [string, boolean][] = [
      [
        'Object.assign(new TypeError("fetch failed"), { cause: Object.assign(new Error("x"), { code: "ECONNRESET" }) })',
        true,
      ],
      ['new TypeError("Failed to fetch")', true],
      ['Object.assign(new Error("x"), { code: "ETIMEDOUT" })', true],
      ['new RangeError("own")', false],
    ]
    for (const [code, expected] of errors) expect(isConnectionFailure(made(code)), code).toBe(expected)
  })

  it('loses a key’s value like the platform’s own, where it is thrown', async () => {
    const secret = 'secret-value-of-the-key'
    const base = async () => {
      throw vm.runInContext(`Object.assign(new Error('with ${secret}'), { config: { key: '${secret}' } })`, realm)
    }
    const fetch = wrapFetch(base, { origins: 'http://api.test', keys: [secret], cache: false, retry: false })
    const error = await fetch('http://api.test/').catch(error => error)
    expect(JSON.stringify([error.message, error.stack, error.config])).not.toContain(secret)
  })
})
