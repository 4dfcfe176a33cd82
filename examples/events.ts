/** What a pool tells: run it with `npx tsx examples/events.ts`. */
import { wrapFetch } from 'fetch-keypool'
import { startProvider } from './demo/start-provider.js'

const provider = await startProvider({ keys: { 'secret-a': { quota: 2 }, 'secret-b': {} } })

const fetch = wrapFetch(globalThis.fetch, {
  origins: provider.url,
  keys: [
    { value: 'secret-a', id: 'team-a', priority: 1 },
    { value: 'secret-b', id: 'team-b' },
    { value: 'revoked', id: 'old' },
  ],
})

fetch.pool.on('key-exhausted', ({ keyId, cause, until }) => {
  console.log(`${keyId} is used up (${cause})${until ? `, back at ${until.toISOString()}` : ''}`)
})
fetch.pool.on('key-disabled', ({ keyId, cause, status }) => console.log(`${keyId} is out: ${cause} (${status})`))
fetch.pool.on('key-rotated', ({ previousKeyId, keyId }) => console.log(`${previousKeyId} → ${keyId}`))

for (let index = 0; index < 5; index++) {
  const response = await fetch(`${provider.url}/item/${index}`)
  console.log(`item ${index}: ${response.status}`)
}
console.table(fetch.pool.keys().map(({ id, state, cause }) => ({ id, state, cause })))

await fetch.close()
provider.stop()
