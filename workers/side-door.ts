/**
 * `parentPort`, the channel that the thread was started with. Node posts there in watch mode, and so do loaders, coverage
 * and agents: what they post goes through. A handler has no business there: its messages would busy the event loop,
 * and nobody on the other side waits for them.
 */
import { type MessagePort, parentPort } from 'node:worker_threads'
import * as pristine from './pristine.ts'
import { runningAttempt } from './whose.ts'

/** What may be posted within a second; more than any agent does, and nothing to an event loop. */
const MOST_IN_A_SECOND = 1000

/** Closes `parentPort` for handlers, and keeps everybody from closing or flooding it. */
export function closeSideDoors(port: MessagePort | null = parentPort): void {
  if (port === null) return
  let posted = 0
  let second = 0
  const postMessage: MessagePort['postMessage'] = (message, transfer) => {
    const caller = pristine.callerOf(postMessage)
    const isOfNode = caller.includes('node:')
    if (!isOfNode) {
      if (runningAttempt() !== undefined && !caller.includes('node_modules')) {
        throw new TypeError(
          'A handler cannot post on parentPort. Use ctx.progress, ctx.log, or return a result.',
        )
      }
      const now = Math.trunc(pristine.now() / 1000)
      if (now !== second) posted = 0
      second = now
      if (++posted > MOST_IN_A_SECOND) return
    }
    pristine.post(port, message, transfer as never)
  }
  port.postMessage = postMessage
  port.close = () => {}
}
