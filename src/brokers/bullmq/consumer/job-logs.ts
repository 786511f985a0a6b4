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
  /** Resolves once the last line is written. */
  last: Promise<void>
}

/** Writes lines, and knows which writes are under way. */
export class JobLogs {
  readonly #said = new WeakMap<Lease, Said>()
  readonly #underWay = new Set<Promise<void>>()
  readonly #isOrdered: boolean

  /** `isOrdered`: what is asked of the store takes effect in the order in which it was asked. */
  constructor(isOrdered: boolean) {
    this.#isOrdered = isOrdered
  }

  add(lease: Lease, line: KeptLine, limits: LogLimits): void {
    let said = this.#said.get(lease)
    if (said === undefined) {
      said = { kept: new KeptLines(limits), attempt: 0, lines: 0, last: Promise.resolve() }
      this.#said.set(lease, said)
    }
    if (line.attempt !== said.attempt) said.lines = 0
    said.attempt = line.attempt
    said.lines++
    const { kept } = said
    kept.add(line)
    // The store counts lines alone: where they are long, fewer are kept.
    const most = kept.dropped > 0 ? kept.lines.length : Math.min(limits.lines, Number.MAX_SAFE_INTEGER)
    const text = toLogText(line, said.lines)
    const write = (): Promise<void> => lease.loop.source.log(lease.id, text, most)
    // Where writes overtake each other, two at once would be given the same place, and one of them be refused.
    const written = this.#isOrdered ? write() : said.last.then(write)
    said.last = written
    this.#underWay.add(written)
    void written.finally(() => this.#underWay.delete(written))
  }

  /** Resolves once the lines said so far are written, or cannot be. */
  async written(): Promise<void> {
    await Promise.all(this.#underWay)
  }
}
