/**
 * Errors that escape a handler: thrown from a timer, an event or a promise that nobody awaits. The context in which
 * they were thrown tells whose they are, so each is charged to its own job and to no other, also when that job is
 * already over. The thread is replaced afterwards: Node calls the state after an uncaught exception undefined.
 */
import { FROM_THREAD } from '../src/rules/protocol.ts'
import { toWireError } from '../src/rules/wire-error.ts'
import type { Attempt } from './attempt.ts'
import type { JobRunner } from './job-runner.ts'
import { whose } from './whose.ts'

export function catchEscapedErrors(runner: JobRunner): void {
  // Where the context was lost and only one job runs, it must be that one's.
  const attemptAtFault = (): Attempt | undefined => {
    const attempt = whose.getStore()
    return attempt === undefined ? runner.only : (attempt ?? undefined)
  }
  const escaped = (error: unknown): void => {
    const attempt = attemptAtFault()
    runner.retire(attempt)
    if (attempt !== undefined && !attempt.isOver) runner.fail(attempt, error)
    else runner.post([FROM_THREAD.stray, attempt?.id ?? '', toWireError(error)])
  }
  process.on('uncaughtException', escaped)
  process.on('unhandledRejection', escaped)

  // Tells who called it before the thread is gone; with many jobs on one thread nothing else could.
  const { exit } = process
  process.exit = ((code?: number) => {
    const attempt = attemptAtFault()
    if (attempt?.isOver || whose.getStore() === null) {
      // Whoever runs here now must not pay for it.
      throw new Error(
        `process.exit(${code ?? ''}) was called by what a handler or its module had left behind.`,
      )
    }
    if (attempt !== undefined) runner.post([FROM_THREAD.exiting, attempt.slot])
    return exit.call(process, code)
  }) as typeof process.exit
}
