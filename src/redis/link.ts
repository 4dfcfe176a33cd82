import type { RedisClient } from './redis-client.js'
import type { Script } from './scripts.js'

/** How long Redis may take to answer before it counts as gone, in milliseconds. */
const PATIENCE = 1_000
/** A connection that is being made is looked at so often, in milliseconds. */
const LOOK = 5
/** How much worse than the best known a round trip may be and still be better than an old one, for each trip since. */
const FORGETTING = 1.02

/** What is heard on the channel. */
export type Message =
  | { readonly kind: 'nudge'; readonly to: readonly string[] }
  | { readonly kind: 'news'; readonly from: string; readonly field: string; readonly news: string }
  | { readonly kind: 'drop'; readonly from: string; readonly key: string }

/** One pool's way to Redis: commands over the program's own connection, and a second connection to listen on. */
export class RedisLink {
  readonly client: RedisClient
  readonly channel: string
  readonly #now: () => number
  #listener: RedisClient | undefined
  /** What the connection to listen on has last said. */
  #trouble: string | undefined
  #bestTrip = Number.POSITIVE_INFINITY
  /** Redis' time less ours, in milliseconds. */
  #ahead = 0

  constructor(client: RedisClient, channel: string, now: () => number) {
    this.client = client
    this.channel = channel
    this.#now = now
  }

  /**
   * Hears what is told on the channel.
   *
   * @param connected - called each time that the connection stands (again): what was told meanwhile was missed
   * @param lost - called when Redis has hung up
   */
  listen(heard: (message: Message) => void, connected: () => void, lost: (error: Error) => void): void {
    const listener = this.client.duplicate()
    this.#listener = listener
    // That Redis is gone is noticed by the commands too; this connection comes back by itself.
    listener.on('error', (error: Error) => {
      this.#trouble = error.message
    })
    listener.on('ready', () => {
      this.#trouble = undefined
      listener.subscribe(this.channel).then(connected, () => {})
    })
    listener.on('close', () => {
      // A command would find it out too, but only when its time is up.
      if (this.#listener && this.client.status !== 'ready')
        lost(new Error(this.#trouble ?? 'Redis has closed the connection'))
    })
    listener.on('message', (_channel: string, text: string) => {
      const message = parse(text)
      if (message) heard(message)
    })
    if (listener.status === 'wait') listener.connect().catch(() => {})
  }

  /** Runs a script. @throws whatever Redis or the connection says; an Error when it takes too long */
  async run({ sha, source }: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    await this.#ready()
    try {
      return await this.client.evalsha(sha, keys.length, ...keys, ...args)
    } catch (error) {
      if (!/^NOSCRIPT/.test((error as Error).message)) throw error
      return this.client.eval(source, keys.length, ...keys, ...args)
    }
  }

  /** All fields of a hash. @throws as `run` does */
  async readAll(key: string): Promise<Record<string, string>> {
    await this.#ready()
    return this.client.hgetall(key)
  }

  /** Takes a name for a while, if nobody has it. @throws as `run` does */
  async claim(key: string, value: string, milliseconds: number): Promise<boolean> {
    await this.#ready()
    return (await this.client.set(key, value, 'PX', milliseconds, 'NX')) !== null
  }

  /**
   * Waits for a connection that is just being made; else there is none, and that is the answer: what the client would put
   * aside for later would come too late, and keep the program from closing it.
   */
  async #ready(): Promise<void> {
    const { client } = this
    for (let tries = 0; client.status === 'connecting' || client.status === 'connect'; tries++) {
      if (tries >= PATIENCE / LOOK) break
      await new Promise(resolve => setTimeout(resolve, LOOK).unref())
    }
    // One that connects with its first command is `wait`.
    if (client.status !== 'ready' && client.status !== 'wait') {
      throw new Error(this.#trouble ?? `Redis can't be reached (the client is '${client.status}')`)
    }
  }

  /** What a command comes to, or an error when it takes too long. */
  within<Value>(command: Promise<Value>, patience = PATIENCE): Promise<Value> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`Redis did not answer within ${patience} ms`)), patience)
      timer.unref()
      command.then(resolve, reject).finally(() => clearTimeout(timer))
    })
  }

  /** Takes Redis' time from an answer. */
  observe(redisNow: number, sentAt: number): void {
    const now = this.#now()
    const trip = now - sentAt
    this.#bestTrip *= FORGETTING
    if (trip > this.#bestTrip) return
    this.#bestTrip = Math.max(1, trip)
    this.#ahead = redisNow - (sentAt + now) / 2
  }

  toRedis(at: number): number {
    return at + this.#ahead
  }

  toLocal(at: number): number {
    return at - this.#ahead
  }

  close(): void {
    const listener = this.#listener
    this.#listener = undefined
    listener?.disconnect()
  }
}

function parse(text: string): Message | undefined {
  try {
    return JSON.parse(text) as Message
  } catch {
    // Somebody else's message on our channel.
    return undefined
  }
}
