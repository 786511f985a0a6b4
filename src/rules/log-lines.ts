/** Lines of a job's log as they are kept: plain data, as text where a broker writes them down. */
import type { JobLogLine, LogLimits } from '../words/job.ts'
import { type Encoded, readOrError } from './codec.ts'

/** A line that is kept. */
export interface KeptLine extends Omit<JobLogLine, 'data' | 'dropped'> {
  /** Encoded; absent for none. */
  readonly data?: NonNullable<Encoded>
}

/** What is kept of a job's lines, oldest first, and how many before them are not. */
export interface KeptLog {
  readonly lines: readonly KeptLine[]
  readonly dropped: number
}

/** How much of a job's lines is kept where nobody says otherwise. */
const DEFAULT_LOG_LIMITS: LogLimits = { lines: 1000, bytes: 65_536 }
/** Where no line is kept. */
const NO_LOGS: LogLimits = { lines: 0, bytes: 0 }

/** What the option `logs` takes: how much of each job's lines is kept, or false for none. What is left out is as by default. */
export type LogsOption = false | { lines?: number | undefined; bytes?: number | undefined }

/** How much is kept as an option says. */
export function logLimits(option: LogsOption | undefined): LogLimits {
  if (option === false) return NO_LOGS
  const { lines = DEFAULT_LOG_LIMITS.lines, bytes = DEFAULT_LOG_LIMITS.bytes } = option ?? {}
  return { lines, bytes }
}

export const NOTHING_KEPT: KeptLog = { lines: [], dropped: 0 }

// What a line costs besides its text.
const OVERHEAD = 64

/** Bytes of a line, about. */
export function bytesOfLine({ message, data }: KeptLine): number {
  return OVERHEAD + message.length + (data?.length ?? 0)
}

/** Lines as one text. */
export function linesToText(lines: readonly KeptLine[]): string {
  return JSON.stringify(
    lines.map(({ at, attempt, from, level, message, data }) => [
      ...[at, attempt, from, level, message],
      ...(data === undefined
        ? []
        : [typeof data === 'string' ? data : { base64: Buffer.from(data).toString('base64') }]),
    ]),
  )
}

/** Reads what `linesToText` made; nothing of what is damaged. */
export function linesFromText(text: string): KeptLine[] {
  try {
    return (JSON.parse(text) as unknown[][]).map(([at, attempt, from, level, message, data]) => ({
      ...({ at, attempt, from, level, message } as KeptLine),
      ...(data !== undefined && { data: dataOf(data) }),
    }))
  } catch {
    return []
  }
}

function dataOf(data: unknown): NonNullable<Encoded> {
  return typeof data === 'string' ? data : Buffer.from((data as { base64: string }).base64, 'base64')
}

/** The last lines that fit, and how many are dropped for that. */
export function fittingLog({ lines, dropped }: KeptLog, limits: LogLimits): KeptLog {
  let bytes = 0
  let from = lines.length
  while (from > 0 && lines.length - from < limits.lines) {
    bytes += bytesOfLine(lines[from - 1] as KeptLine)
    if (bytes > limits.bytes && from < lines.length) break
    from--
  }
  return { lines: lines.slice(from), dropped: dropped + from }
}

/** A log as whoever asks for it gets it: what is missing at its beginning is told. */
export function toldLog({ lines, dropped }: KeptLog): JobLogLine[] {
  const told: JobLogLine[] = lines.map(({ data, ...line }) =>
    data === undefined ? line : { ...line, data: readOrError(data, 'data') },
  )
  const [first] = lines
  if (dropped === 0) return told
  const { at = 0, attempt = 1 } = first ?? {}
  return [droppedLine(at, attempt, dropped), ...told]
}

/** Stands where lines are missing. */
function droppedLine(at: number, attempt: number, dropped: number): JobLogLine & { dropped: number } {
  const message = dropped === 1 ? '1 line is left out here' : `${dropped} lines are left out here`
  return { at, attempt, from: 'runtime', level: 'warn', message, dropped }
}
