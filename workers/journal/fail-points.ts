/** Places where a test ends the process as `kill -9` does: nothing is flushed, closed or said. */
import { execFile } from 'node:child_process'
import type { FailPoint, JournalSetup } from '../../src/rules/journal-protocol.ts'

/** Counts visits of one place and ends the process at the given one. */
export class FailPoints {
  readonly #point: FailPoint | undefined
  #left: number

  constructor(failAt: JournalSetup['failAt']) {
    this.#point = failAt?.point
    this.#left = failAt?.after ?? 0
  }

  /** Ends the process here and now, when it is time. */
  at(point: FailPoint): void {
    if (this.#isTime(point)) process.kill(process.pid, 'SIGKILL')
  }

  /** Has the process ended from outside while it does what comes next. */
  during(point: FailPoint): void {
    if (this.#isTime(point)) execFile('kill', ['-9', String(process.pid)])
  }

  #isTime(point: FailPoint): boolean {
    return point === this.#point && this.#left-- === 0
  }
}
