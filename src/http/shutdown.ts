/** The end of a server, wired to signals by one call: responses finish, then jobs, and what is lost is said by name. */
import { Server } from 'node:net'
import { z } from 'zod'
import type { StopReport, Unfinished } from '../engine/lifecycle.ts'
import { type AnyRuntime, engineOf } from '../engine/runtime.ts'
import { readOptions } from '../rules/options.ts'
import { describeValue, OptionsInvalidError } from '../words/errors.ts'
import { type ClosingServer, closingServer } from './closing.ts'

/** What `shutdown` takes besides server and runtime. */
export interface ShutdownOptions {
  /**
   * Milliseconds from the signal to the end, for responses and jobs together. Default 10,000. Responses that are still
   * open when three quarters of it have passed are cut off, so that their jobs have a chance.
   */
  timeout?: number
  /** The signals that begin it. Default `SIGTERM` and `SIGINT`; none: only `begin()` does. */
  signals?: readonly NodeJS.Signals[]
  /** Whether the process exits at the end of a shutdown that a signal began. Default true; else only its exit code is set. */
  exit?: boolean
}

/** How a shutdown went. */
export interface ShutdownReport extends StopReport {
  /** The signal that began it; null when `begin()` did. */
  readonly signal: NodeJS.Signals | null
  /** Connections that were still open when the time for responses was over, and were cut off. */
  readonly cut: number
  /** 0 when nothing was lost and 1 when a job was: what the process exits with. */
  readonly exitCode: 0 | 1
}

/** A shutdown that is ready to begin. */
export interface Shutdown extends Disposable {
  /**
   * Begins as a signal would, but leaves the process alone. Called again, or with a signal after it, it can
   * only bring the deadline nearer: `begin({ timeout: 0 })` is the hard stop that a second signal is.
   */
  begin(options?: { timeout?: number }): Promise<ShutdownReport>
  /** Resolves when a shutdown, however it began, is over, and right before the process exits. Rejects when the broker could not be closed. */
  readonly done: Promise<ShutdownReport>
  /** Takes the signal handlers away; a shutdown under way goes on. */
  remove(): void
}

const optionsSchema = z.strictObject({
  timeout: z
    .number({ error: 'expected milliseconds as a number' })
    .min(0, 'expected milliseconds, 0 or more')
    .default(10_000)
    .describe('Milliseconds from the signal to the end, for responses and jobs together.'),
  signals: z
    .array(
      z.custom<NodeJS.Signals>((value) => typeof value === 'string' && value.startsWith('SIG')),
      {
        error: "expected signals, such as ['SIGTERM']",
      },
    )
    .default(['SIGTERM', 'SIGINT'])
    .describe('The signals that begin it.'),
  exit: z.boolean().default(true).describe('Whether the process exits at the end.'),
})

/** The share of the time that open responses have before they are cut off. */
const RESPONSES_SHARE = 0.75

/**
 * Shuts a server and a runtime down in order when the process is told to end. Call it right after `listen`:
 * `shutdown(app.server, runtime)`. On the first signal the server accepts no more connections; open responses finish and
 * may still add jobs; then the runtime finishes what was accepted. A second signal ends it at once, a third kills the process.
 * What was lost, or is left for the next start, is listed on stderr; the exit code is 0 only if nothing was lost.
 * For servers of `node:http`, `node:https` and `node:http2`.
 *
 * @throws OptionsInvalidError when an option is unknown or has a bad value, or the server is none (Polka's `app.server`
 * is undefined before `listen`).
 */
export function shutdown(server: Server, runtime: AnyRuntime, options: ShutdownOptions = {}): Shutdown {
  const { timeout, signals, exit } = readOptions(optionsSchema, options, 'shutdown')
  if (!(server instanceof Server)) {
    throw new OptionsInvalidError(
      `shutdown: the server is ${describeValue(server)}; expected a server of node:http, node:https or node:http2. Polka's app.server is there after app.listen().`,
      'server',
    )
  }
  const sequence = new Sequence(closingServer(server), runtime)
  let received = 0
  const onSignal = (signal: NodeJS.Signals): void => {
    received++
    const isFirst = received === 1
    // Whoever asks a third time means it: the default action of the signal takes over.
    if (received === 2) remove()
    const end = (exitCode: number): void => {
      process.exitCode = exitCode
      // Not before whoever awaits `done` has had a turn.
      if (exit && isFirst) setImmediate(() => process.exit())
    }
    sequence.begin(isFirst ? timeout : 0, signal).then(
      (report) => end(report.exitCode),
      (error: unknown) => {
        if (isFirst)
          process.stderr.write(`aftertask: shutdown after ${signal}: the runtime did not stop: ${error}\n`)
        end(1)
      },
    )
  }
  const remove = (): void => {
    for (const signal of signals) process.off(signal, onSignal)
    sequence.standDown()
  }
  for (const signal of signals) process.on(signal, onSignal)
  return {
    begin: ({ timeout: given = timeout } = {}) => sequence.begin(given, null),
    done: sequence.done,
    remove,
    [Symbol.dispose]: remove,
  }
}

/** One shutdown from its beginning to its report. */
class Sequence {
  readonly done: Promise<ShutdownReport>
  readonly #server: ClosingServer
  readonly #runtime: AnyRuntime
  readonly #ended = Promise.withResolvers<ShutdownReport>()
  #signal: NodeJS.Signals | null = null
  #deadline = Number.POSITIVE_INFINITY
  #phase: 'ready' | 'responses' | 'jobs' = 'ready'
  #cut = 0
  #clearTimer: (() => void) | undefined

  constructor(server: ClosingServer, runtime: AnyRuntime) {
    this.#server = server
    this.#runtime = runtime
    this.done = this.#ended.promise
    // Whoever awaits it sees why it failed; that nobody does is no error of its own.
    this.done.catch(() => {})
  }

  /** Begins, or brings the deadline of what has begun nearer. */
  begin(timeout: number, signal: NodeJS.Signals | null): Promise<ShutdownReport> {
    const { clock } = this.#runtime[engineOf]
    const deadline = clock.now() + timeout
    if (this.#phase === 'ready') {
      this.#phase = 'responses'
      this.#signal = signal
      this.#deadline = deadline
      this.#bound(timeout)
      void this.#server.close().then(() => this.#stopJobs())
    } else if (deadline < this.#deadline) {
      this.#deadline = deadline
      if (this.#phase === 'responses') this.#bound(timeout)
      else void this.#runtime.stop({ timeout })
    }
    return this.done
  }

  /** No signal will come any more: watches no further, unless it has begun. */
  standDown(): void {
    if (this.#phase === 'ready') this.#server.forget()
  }

  #bound(timeout: number): void {
    this.#clearTimer?.()
    if (timeout === Number.POSITIVE_INFINITY) return
    const { clock } = this.#runtime[engineOf]
    this.#clearTimer = clock.timer(timeout * RESPONSES_SHARE, () => {
      this.#cut = this.#server.cut()
      void this.#stopJobs()
    })
  }

  async #stopJobs(): Promise<void> {
    if (this.#phase === 'jobs') return
    this.#phase = 'jobs'
    this.#clearTimer?.()
    const { clock } = this.#runtime[engineOf]
    try {
      const report = await this.#runtime.stop({ timeout: Math.max(0, this.#deadline - clock.now()) })
      const exitCode = report.lost.length === 0 ? 0 : 1
      const full: ShutdownReport = { ...report, signal: this.#signal, cut: this.#cut, exitCode }
      tell(full)
      this.#ended.resolve(full)
    } catch (error) {
      this.#ended.reject(error)
    }
  }
}

function tell({ lost, left, cut, signal }: ShutdownReport): void {
  const lines = [
    cut > 0 ? `${count(cut, 'connection')} ${cut === 1 ? 'was' : 'were'} still open and cut off` : '',
    lost.length > 0
      ? `${count(lost.length, 'job')} did not finish and ${lost.length === 1 ? 'is' : 'are'} lost: ${names(lost)}`
      : '',
    left.length > 0
      ? `${count(left.length, 'job')} did not finish and ${left.length === 1 ? 'is' : 'are'} left for the next start: ${names(left)}`
      : '',
  ].filter((line) => line !== '')
  const why = signal === null ? 'shutdown' : `shutdown after ${signal}`
  for (const line of lines) process.stderr.write(`aftertask: ${why}: ${line}\n`)
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

/** By name, with how many, and ids of the first few. */
function names(jobs: readonly Unfinished[]): string {
  const byName = Map.groupBy(jobs, (job) => job.name)
  return [...byName]
    .map(([name, of]) => {
      const ids = of.slice(0, 10).map((job) => job.id)
      const more = of.length > ids.length ? ', ...' : ''
      return `${name} x ${of.length} (${ids.join(', ')}${more})`
    })
    .join('; ')
}
