/** What of an ioredis client, or cluster, is used; versions 5 and 6 have it. */
export interface RedisClient {
  readonly status: string
  evalsha(sha: string, numberOfKeys: number, ...args: string[]): Promise<unknown>
  eval(script: string, numberOfKeys: number, ...args: string[]): Promise<unknown>
  get(key: string): Promise<string | null>
  set(key: string, value: string, px: 'PX', milliseconds: number): Promise<unknown>
  set(key: string, value: string, px: 'PX', milliseconds: number, nx: 'NX'): Promise<unknown>
  del(key: string): Promise<unknown>
  hgetall(key: string): Promise<Record<string, string>>
  publish(channel: string, message: string): Promise<unknown>
  subscribe(channel: string): Promise<unknown>
  duplicate(): RedisClient
  connect(): Promise<unknown>
  disconnect(): void
  // Whatever an event brings: ioredis' own types have `any` there.
  // biome-ignore lint/suspicious/noExplicitAny: a listener for a cluster must be assignable to it
  on(event: string, listener: (...args: any[]) => void): unknown
}
