/** A thread with a seeded fault: it listens for escaped errors only once the handlers are imported, and beside all others. */
import { threadId } from 'node:worker_threads'
import { FROM_THREAD, type LaneReady, type LaneSetup } from '../../../src/rules/protocol.ts'
import { toWireError } from '../../../src/rules/wire-error.ts'
import type { Attempt } from '../../../workers/attempt.ts'
import { loadHandlers } from '../../../workers/handlers.ts'
import { JobRunner } from '../../../workers/job-runner.ts'
import { Printing } from '../../../workers/printing.ts'
import { runningAttempt } from '../../../workers/whose.ts'

export default async function setUp(setup: LaneSetup): Promise<LaneReady> {
  let runner: JobRunner | undefined
  setup.port.on('message', (message: number | unknown[]) => runner?.receive(message))
  const printing = [new Printing(process.stdout), new Printing(process.stderr)]
  const handlers = await loadHandlers(setup, {
    importing: () => {},
    ruined: (_, why) => {
      throw new Error(why)
    },
  })
  runner = new JobRunner(setup, handlers, printing)
  const escaped = (error: unknown): void => {
    const attempt = runningAttempt() as Attempt | undefined
    runner?.retire(attempt)
    if (attempt !== undefined && !attempt.isOver) runner?.fail(attempt, error)
    else runner?.post([FROM_THREAD.stray, '', toWireError(error), []])
  }
  process.on('uncaughtException', escaped)
  process.on('unhandledRejection', escaped)
  return { threadId, problems: handlers.problems }
}
