/** Few writes for many commands: a write to a socket costs more than a command, here and in the store. */
import type { Redis } from 'ioredis'

// So many at a time, that the store works on some while the next are made.
const MOST = 25

/**
 * Commands of this client leave together: those of one turn of the event loop, or as many as make a write worth it.
 * Returns what lets them go at once.
 */
export function writeTogether(redis: Redis): () => void {
  const send = redis.sendCommand
  let held: Redis['stream'] | undefined
  let commands = 0
  const letGo = (): void => {
    const socket = held
    held = undefined
    socket?.uncork()
  }
  redis.sendCommand = (command, stream) => {
    // Commands of a pipeline bring a stream of their own.
    if (stream !== undefined || redis.status !== 'ready') return send.call(redis, command, stream)
    if (held !== redis.stream) {
      letGo()
      held = redis.stream
      held.cork()
      commands = 0
      setImmediate(letGo)
    }
    const answer = send.call(redis, command)
    if (++commands === MOST) letGo()
    return answer
  }
  return letGo
}
