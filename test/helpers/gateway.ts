import { createGateway, type Gateway, type GatewayConfig } from 'fetch-keypool/gateway'
import { afterEach } from 'vitest'

const open: Gateway[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(each => each.close()))
})

export type RunningGateway = Gateway & { readonly url: string }

/** A gateway on a free port, quiet, before servers on loopback; it is closed when the test ends. */
export async function gateway(config: GatewayConfig): Promise<RunningGateway> {
  const made = await createGateway({
    ...{ listen: { port: 0 }, log: false, allowPrivateUpstreams: ['127.0.0.0/8'], server: { drain: 500 } },
    ...config,
  })
  open.push(made)
  return Object.assign(made, { url: await made.listen() })
}
