#!/usr/bin/env node
import { createRequire } from 'node:module'
import { parseArgs } from 'node:util'
import { KeypoolError } from 'fetch-keypool'
import { checkKeys } from './check-keys.js'
import { diagnose, keys, status } from './operate.js'
import { runGateway } from './run-gateway.js'
import { makeToken } from './token.js'

const USAGE = `fetch-keypool: pools of API keys

  fetch-keypool gateway [--config keypool.config.json] [--host H] [--port P]
      Runs the gateway. SIGHUP, or a change of the file, reads the configuration again; SIGTERM ends it when requests
      on their way are answered.
  fetch-keypool check [--config keypool.config.json] [--path /v1/models]
      Sends one request with each key of a configuration, and says what the key is good for.
  fetch-keypool status | diagnose
  fetch-keypool keys [list] | add KEY | disable ID | enable ID | reset [ID] | remove ID   [--route /openai]
      Asks a running gateway (--gateway http://127.0.0.1:8787, --token or KEYPOOL_TOKEN). With '-' as KEY, it is read
      from standard input.
  fetch-keypool --version
  fetch-keypool token
      Makes a token for a caller or an operator, with the hash for the configuration.
`

const OPTIONS = {
  config: { type: 'string', short: 'c', default: 'keypool.config.json' },
  host: { type: 'string' },
  port: { type: 'string' },
  path: { type: 'string' },
  route: { type: 'string' },
  gateway: { type: 'string', default: 'http://127.0.0.1:8787' },
  token: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
  version: { type: 'boolean', short: 'v', default: false },
} as const

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true })
  const [command, ...rest] = positionals
  if (values.version) {
    process.stdout.write(`${versionOfPackage()}\n`)
    return
  }
  if (values.help || command === undefined) {
    process.stdout.write(USAGE)
    if (!values.help) process.exitCode = 2
    return
  }
  const remote = { gateway: values.gateway, token: values.token ?? process.env.KEYPOOL_TOKEN, json: values.json }
  switch (command) {
    case 'gateway':
      return runGateway(values.config, { host: values.host, port: values.port })
    case 'check':
      return checkKeys(values.config, values.path)
    case 'status':
      return status(remote)
    case 'diagnose':
      return diagnose(remote)
    case 'keys':
      return keys(remote, values.route, rest)
    case 'token':
      return makeToken()
    default:
      throw new KeypoolError('ERR_CONFIG', `There is no command '${command}': see fetch-keypool --help.`)
  }
}

function versionOfPackage(): string {
  const { version } = createRequire(import.meta.url)('fetch-keypool/package.json') as { version: string }
  return version
}

// Whoever reads the first line only, has read enough.
process.stdout.on('error', () => process.exit(0))

main().catch((error: Error) => {
  // What a user can do something about needs no stack.
  const isPlain = KeypoolError.is(error) || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS')
  process.stderr.write(`${isPlain ? error.message : error.stack}\n`)
  process.exitCode = 1
  // A worker would be kept by the process that has started it.
  if (process.connected) process.disconnect()
})
