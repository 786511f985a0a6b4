/** One write for all commands of a turn: a write to a socket costs more than a command, here and in the store. */
import type { Redis } from 'ioredis'

/** Commands of this client leave together, at the end of the turn of the event loop in which they were given. */
export function writeOnceATurn(redis: Redis): void {
  const send = redis.sendCommand
  let held: Redis['stream'] | undefined
  redis.sendCommand = (command, stream) => {
    const { stream: socket } = redis
    // Commands of a pipeline bring a stream of their own.
    if (stream === undefined && redis.status === 'ready' && held !== socket) {
      held = socket
      socket.cork()
      setImmediate(() => {
        if (held === socket) held = undefined
        socket.uncork()
      })
    }
    return send.call(redis, command, stream)
  }
}
