import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { answering, freePort } from './free-port.mjs'

/** Starts Portkey's gateway. @param config - its own, which each request brings as `headers` */
export async function startPortkey(config) {
  const port = await freePort()
  const require = createRequire(import.meta.url)
  const entry = join(dirname(require.resolve('@portkey-ai/gateway/package.json')), 'build', 'start-server.js')
  const child = spawn(process.execPath, [entry, `--port=${port}`, '--headless'], {
    stdio: 'ignore',
    env: { ...process.env, NODE_ENV: 'production', TRUSTED_CUSTOM_HOSTS: 'localhost,127.0.0.1' },
  })
  const origin = `http://127.0.0.1:${port}`
  await answering(`${origin}/`)
  return {
    ...{ origin, path: '/v1/chat/completions', headers: { 'x-portkey-config': JSON.stringify(config) } },
    stop: () => child.kill('SIGKILL'),
  }
}

/** A key as one of the services between which it chooses. */
export function target(key, url) {
  return { provider: 'openai', api_key: key, custom_host: `${url}/v1`, weight: 1 }
}
