/**
 * The entry of a worker thread: what Piscina runs in it, once. Takes the port and the table of its lane, imports the
 * handlers, and returns; from then on the thread runs what comes over the port.
 */
import { parentPort, threadId } from 'node:worker_threads'
import type { LaneReady, LaneSetup } from '../src/rules/protocol.ts'
import { loadHandlers } from './handlers.ts'
import { JobRunner } from './job-runner.ts'

export default async function setUp(setup: LaneSetup): Promise<LaneReady> {
  closeSideDoors()
  const handlers = await loadHandlers(setup.handlers, setup.warmUp)
  const runner = new JobRunner(setup, handlers)
  runner.listen()
  return { threadId, problems: handlers.problems }
}

/** A handler has no business on the channel that Piscina starts threads with; a flood there would busy the event loop. */
function closeSideDoors(): void {
  if (parentPort === null) return
  parentPort.postMessage = () => {
    throw new TypeError('A handler cannot post on parentPort. Use ctx.progress, ctx.log, or return a result.')
  }
  parentPort.close = () => {}
}
