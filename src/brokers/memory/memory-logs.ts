/** The lines of jobs, in memory: bounded for each job, and all together. */
import { type KeptLine, type KeptLog, NOTHING_KEPT } from '../../rules/log-lines.ts'
import type { LogLimits } from '../../words/job.ts'
import { KeptLines } from '../lifecycle/kept-lines.ts'

/** Bytes that the lines of all jobs may have. */
const MOST_BYTES = 2 ** 26

/** Keeps lines by the numbers of jobs. Jobs that say nothing cost nothing. */
export class MemoryLogs {
  /** In the order in which jobs said their first line. */
  readonly #logs = new Map<number, KeptLines>()
  readonly #most: number
  #bytes = 0

  constructor(most = MOST_BYTES) {
    this.#most = most
  }

  add(seq: number, line: KeptLine, limits: LogLimits): void {
    let log = this.#logs.get(seq)
    if (log === undefined) {
      log = new KeptLines(limits)
      this.#logs.set(seq, log)
    }
    const before = log.bytes
    log.add(line)
    this.#bytes += log.bytes - before
    if (this.#bytes > this.#most) this.#makeRoom(seq)
  }

  of(seq: number): KeptLog {
    return this.#logs.get(seq) ?? NOTHING_KEPT
  }

  /** The job is forgotten. */
  forget(seq: number): void {
    if (this.#logs.size === 0) return
    const log = this.#logs.get(seq)
    if (log === undefined) return
    this.#bytes -= log.bytes
    this.#logs.delete(seq)
  }

  /** Of the jobs that spoke first only how much they said is left. */
  #makeRoom(but: number): void {
    for (const [seq, log] of this.#logs) {
      if (this.#bytes <= this.#most) return
      if (seq === but || log.lines.length === 0) continue
      this.#bytes -= log.bytes
      log.dropped += log.lines.length
      log.bytes = 0
      log.lines.length = 0
    }
  }
}
