/** Where the lines of a runtime go: to stderr, to a function, or to the logger that the server has already. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inspect } from 'node:util'
import { isA } from '../rules/arguments.ts'
import { TASK_THREAD } from '../rules/thread-entries.ts'
import { describeValue, memberOf } from '../words/describe.ts'
import { AftertaskError } from '../words/errors.ts'
import type { EventJob } from '../words/events.ts'
import { hearRejection, isThenable } from '../words/thenables.ts'

/** How much a line matters. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** One line of a runtime. */
export interface LogLine {
  /** `handler`: what a handler gave to `ctx.log`. `runtime`: what the runtime itself has to say. */
  readonly from: 'handler' | 'runtime'
  readonly level: LogLevel
  /** One sentence, or the message that the handler gave. */
  readonly message: string
  /** The job that the line is about, when it is about one. */
  readonly job?: EventJob
  /** What the handler gave beside the message. */
  readonly data?: unknown
  /** Where the handler printed it; absent for what it gave to `ctx.log`. */
  readonly printed?: 'stdout' | 'stderr'
  /** When the handler said it, in milliseconds since 1970. */
  readonly at?: number
  /** The id of the request that added the job, when it had one. */
  readonly requestId?: string
  /** The error that the line tells of, with its stack. */
  readonly error?: Error
}

/** A logger as pino, bunyan and winston's pino format have it: the fields first, then the message. `console` fits too. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** What `createRuntime({ log })` takes. */
export type LogOption = boolean | ((line: LogLine) => void) | Logger

// What a person can read below one line: the place, and a few steps that led there.
const FRAMES = 5
const CAUSES = 3

/** Writes the lines of one runtime. What the user's own function or logger throws is contained. */
export class Log {
  /** True when the user gave a place for lines: it gets every line, also where somebody listens to the event. */
  readonly hearsAll: boolean
  readonly #takes: (level: LogLevel) => boolean
  readonly #write: (line: LogLine) => unknown
  #hasTold = false

  constructor(option: LogOption) {
    this.hearsAll = typeof option !== 'boolean'
    this.#write = writerOf(option)
    // A terminal is for what somebody should see: what a handler notes for its author alone is left out.
    this.#takes = (level) => this.hearsAll || (option === true && level !== 'debug')
  }

  /** True when a line of this level goes anywhere. */
  takes(level: LogLevel): boolean {
    return this.#takes(level)
  }

  /** Writes a line of the runtime's own; a warning unless `more` says otherwise. */
  say(message: string, more: Partial<LogLine> = {}): void {
    this.write({ from: 'runtime', level: 'warn', message, ...more })
  }

  write(line: LogLine): void {
    if (!this.#takes(line.level)) return
    try {
      const outcome: unknown = this.#write(line)
      if (isThenable(outcome)) hearRejection(outcome, (error) => this.#tell(error))
    } catch (error) {
      this.#tell(error)
    }
  }

  // Told once: a logger that is broken would say so with every line.
  #tell(error: unknown): void {
    if (this.#hasTold) return
    this.#hasTold = true
    toStderr({ from: 'runtime', level: 'error', message: `the option "log" threw: ${inWords(error)}` })
  }
}

function writerOf(option: LogOption): (line: LogLine) => unknown {
  if (option === false) return () => {}
  if (option === true) return toStderr
  if (typeof option === 'function') return option
  return ({ level, message, job, requestId, printed, data, error }) =>
    option[level](
      {
        ...(job && { job }),
        ...(requestId !== undefined && { requestId }),
        ...(printed && { printed }),
        ...(data !== undefined && { data }),
        ...(error && { err: error }),
      },
      message,
    )
}

function toStderr(line: LogLine): void {
  process.stderr.write(`aftertask: ${asText(line)}\n`)
}

/** A line as text: the message, the data as `console.log` would show them, and below it where the error came from. */
function asText({ from, level, message, job, data, error }: LogLine): string {
  const about = from === 'runtime' || job === undefined ? '' : `${job.name} (job ${job.id}) ${level}: `
  const shown =
    data === undefined ? '' : ` ${inspect(data, { breakLength: Number.POSITIVE_INFINITY, depth: 4 })}`
  return printable(`${about}${message}${shown}`) + (error === undefined ? '' : origin(error))
}

/** An error in one line: its class, its message, its code. */
export function inWords(error: unknown): string {
  try {
    if (!(error instanceof Error)) return inspect(error, { depth: 0 })
    const code = error instanceof AftertaskError ? ` [${error.code}]` : ''
    return `${error.name}: ${error.message}${code}`.replaceAll('\n', ' ')
  } catch {
    // What a listener or a logger throws may throw when it is read.
    return describeValue(error)
  }
}

/** The frames of an error that are the user's own, and the causes behind it, as lines of their own. */
function origin(error: Error): string {
  const lines = frames(error)
  let cause = memberOf(error, 'cause')
  for (let depth = 0; depth < CAUSES && isA(cause, Error); depth++) {
    lines.push(`  caused by ${inWords(cause)}`, ...frames(cause))
    cause = memberOf(cause, 'cause')
  }
  return lines.map((line) => `\n${printable(line)}`).join('')
}

// Below these stands the library itself: built, in development, and as source maps have it.
const WORKERS = dirname(fileURLToPath(TASK_THREAD))
const OUR_CODE = [
  WORKERS,
  join(WORKERS, '../src'),
  join(WORKERS, '../../src'),
  join(WORKERS, '../../workers'),
]

function frames(error: Error): string[] {
  // The frames of our own errors lead into the library.
  const stack = memberOf(error, 'stack')
  if (typeof stack !== 'string' || isA(error, AftertaskError)) return []
  return stack
    .split('\n')
    .filter(
      (line) =>
        /^\s+at /.test(line) && !/\(?node:/.test(line) && !OUR_CODE.some((ours) => line.includes(ours)),
    )
    .slice(0, FRAMES)
}

// Whoever can write a message must not be able to steer the terminal that shows it.
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu, (character) =>
    character === '\t' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
