/** Lines of jobs that run here, on their way to the store: each at once, so that a process which dies takes none along. */
import type { KeptLine } from '../../../rules/log-lines.ts'
import type { LogLimits } from '../../../words/job.ts'
import { KeptLines } from '../../lifecycle/kept-lines.ts'
import { toLogText } from '../store/log-text.ts'
import type { Lease } from './leases.ts'

/** What a job has said here: of the lines in the store so many are these. */
interface Said {
  readonly kept: KeptLines
  /** The attempt that spoke last, and how many lines it has said. */
  attempt: number
  lines: number
}

/** Writes lines, and knows which writes are under way. */
export class JobLogs {
  readonly #said = new WeakMap<Lease, Said>()
  readonly #underWay = new Set<Promise<void>>()

  add(lease: Lease, line: KeptLine, limits: LogLimits): void {
    let said = this.#said.get(lease)
    if (said === undefined) {
      said = { kept: new KeptLines(limits), attempt: 0, lines: 0 }
      this.#said.set(lease, said)
    }
    if (line.attempt !== said.attempt) said.lines = 0
    said.attempt = line.attempt
    said.lines++
    const { kept } = said
    kept.add(line)
    // The store counts lines alone: where they are long, fewer are kept.
    const most = kept.dropped > 0 ? kept.lines.length : Math.min(limits.lines, Number.MAX_SAFE_INTEGER)
    const written = lease.loop.source.log(lease.id, toLogText(line, said.lines), most)
    this.#underWay.add(written)
    void written.finally(() => this.#underWay.delete(written))
  }

  /** Resolves once the lines said so far are written, or cannot be. */
  async written(): Promise<void> {
    await Promise.all(this.#underWay)
  }
}
