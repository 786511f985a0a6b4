/** The last lines of one job, within its limits. */
import { bytesOfLine, type KeptLine, type KeptLog } from '../../rules/log-lines.ts'
import type { LogLimits } from '../../words/job.ts'

/** Takes lines, and lets the oldest go. */
export class KeptLines implements KeptLog {
  readonly lines: KeptLine[] = []
  readonly limits: LogLimits
  bytes = 0
  dropped = 0

  constructor(limits: LogLimits) {
    this.limits = limits
  }

  add(line: KeptLine): void {
    this.lines.push(line)
    this.bytes += bytesOfLine(line)
    // The newest is kept in any case: it is bounded by itself.
    while (this.lines.length > 1 && (this.lines.length > this.limits.lines || this.bytes > this.limits.bytes))
      this.#drop()
  }

  #drop(): void {
    this.bytes -= bytesOfLine(this.lines.shift() as KeptLine)
    this.dropped++
  }
}
