import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Who wants to know that a connection has gone, by connection: one listener for all requests that stand in its line. */
const waiting = new WeakMap<Socket, Set<() => void>>()

/** How many requests of a connection are not over: more than one where it doesn't wait for answers. */
export function underWayOn({ socket }: IncomingMessage): number {
  return waiting.get(socket)?.size ?? 0
}

/**
 * Calls back once when a request is over, whichever way: answered, or its caller gone. A request that stands behind others
 * on its connection is told of neither by its own response when that connection goes.
 */
export function whenOver(incoming: IncomingMessage, outgoing: ServerResponse, over: () => void): void {
  if (incoming.httpVersionMajor >= 2) {
    outgoing.once('close', over)
    return
  }
  const { socket } = incoming
  let all = waiting.get(socket)
  if (!all) {
    const fresh = new Set<() => void>()
    all = fresh
    waiting.set(socket, fresh)
    socket.once('close', () => {
      for (const each of [...fresh]) each()
    })
  }
  const set = all
  const once = () => {
    if (!set.delete(once)) return
    outgoing.off('close', once)
    over()
  }
  set.add(once)
  outgoing.once('close', once)
  if (socket.destroyed) once()
}
