/** What handlers say, by `ctx.log` and by printing: without secrets, to the record of the job and to whoever hears of lines. */
import type { AttemptSink } from '../brokers/port/broker.ts'
import type { ThreadLine } from '../pools/pool.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { bytesOfLine, type KeptLine } from '../rules/log-lines.ts'
import type { TaskEntry } from '../rules/registry.ts'
import type { Clock } from '../words/clock.ts'
import { ClockOffset } from '../words/clock-offset.ts'
import type { Announcer } from './announcer.ts'
import type { Limits } from './limits.ts'
import type { Log } from './log.ts'
import type { Redaction } from './redaction.ts'

/** Whom lines concern. */
export interface LineParts {
  readonly announcer: Announcer
  readonly attempts: AttemptSink
  readonly clock: Clock
  readonly limits: Limits
  readonly redaction: Redaction
}

/** What is printed without an end of line waits for it, up to so many bytes. */
const MOST_UNENDED = 65_536

/** Takes lines as threads tell them. */
export class HandlerLines {
  readonly #parts: LineParts
  /** Steady while nobody sets the clock: lines come in the order of their times. */
  readonly #offset: ClockOffset
  /** What was printed last and has no end of line yet. */
  readonly #unended = new Map<JobRecord, Map<ThreadLine['from'], ThreadLine>>()

  constructor(parts: LineParts) {
    this.#parts = parts
    this.#offset = new ClockOffset(parts.clock)
  }

  /** A handler has said something. */
  said(job: JobRecord, line: ThreadLine): void {
    if (line.from === 'log' || line.from === 'runtime') return this.#tell(job, line)
    const open = this.#unended.get(job)
    const before = open?.get(line.from)
    const whole = before === undefined ? line : { ...before, message: before.message + line.message }
    const isEnded = whole.message.endsWith('\n') || whole.message.length > MOST_UNENDED
    if (isEnded) {
      open?.delete(line.from)
      return this.#tell(job, whole)
    }
    if (open === undefined) this.#unended.set(job, new Map([[line.from, whole]]))
    else open.set(line.from, whole)
  }

  /** An attempt is over: what it printed last is a line as well. */
  over(job: JobRecord): void {
    if (this.#unended.size === 0) return
    const open = this.#unended.get(job)
    if (open === undefined) return
    this.#unended.delete(job)
    for (const line of open.values()) this.#tell(job, line)
  }

  #tell(job: JobRecord, { level, message, data, at, from, dropped }: ThreadLine): void {
    const { announcer, attempts, clock, limits, redaction } = this.#parts
    const now = clock.now()
    // One line for each call: what was printed together stays together.
    const text = from === 'log' || from === 'runtime' ? message : message.replace(/\r?\n$/, '')
    const shown = redaction.encoded(job, data)
    const line: KeptLine = {
      ...{ at: Math.round(this.#offset.wall(Math.min(at ?? now, now))), attempt: job.attempts },
      ...{ from, level, message: redaction.text(job, text) },
      ...(shown !== undefined && { data: shown }),
    }
    const kept = limits.logsOf(job)
    if (kept.lines > 0 && kept.bytes > 0) attempts.log(job, fitted(line, kept.bytes), kept)
    announcer.log(job, line, dropped)
  }
}

/** What becomes of that which handlers print: a logger of the user's gets it, in place of the terminal. */
export function printedOf(
  { hearsAll }: Pick<Log, 'hearsAll'>,
  limits: Limits,
  entries: readonly TaskEntry[],
): 'kept' | 'taken' | undefined {
  if (hearsAll) return 'taken'
  return entries.some(({ task }) => limits.logsOfTask(task).lines > 0) ? 'kept' : undefined
}

/** A line that alone has more than all may have is cut. */
function fitted(line: KeptLine, most: number): KeptLine {
  if (bytesOfLine(line) <= most) return line
  const { data: _, ...rest } = line
  return { ...rest, message: `${line.message.slice(0, Math.max(0, most - 100))}…` }
}
