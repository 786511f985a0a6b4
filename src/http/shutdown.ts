/** The end of a server, wired to signals by one call: responses finish, then jobs, and what is lost is said by name. */
import { Server } from 'node:net'
import { constants } from 'node:os'
import { z } from 'zod'
import { leave } from '../engine/leave.ts'
import { type AnyRuntime, engineOf, isRuntime } from '../engine/runtime.ts'
import { onStopSignals } from '../engine/stop-signals.ts'
import type { StopReport } from '../engine/stopping.ts'
import { isA } from '../rules/arguments.ts'
import { readOptions } from '../rules/options.ts'
import { refuseInThread } from '../rules/own-thread.ts'
import { describeValue, OptionsInvalidError } from '../words/errors.ts'
import { type ClosingServer, closingServer } from './closing.ts'
import { reportLines, waitingLine } from './shutdown-lines.ts'

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
   * only bring the deadline nearer: `begin({ timeout: 0 })` is the hard stop that a second signal is. Rejects as `done` does.
   */
  begin(options?: { timeout?: number }): Promise<ShutdownReport>
  /** Resolves when a shutdown, however it began, is over, and right before the process exits. Rejects when the broker could not be closed. */
  readonly done: Promise<ShutdownReport>
  /** Takes the signal handlers away; a shutdown under way goes on. */
  remove(): void
}

const timeoutSchema = z
  .number({ error: 'expected milliseconds as a number' })
  .min(0, 'expected milliseconds, 0 or more')

const optionsSchema = z.strictObject({
  timeout: timeoutSchema
    .default(10_000)
    .describe('Milliseconds from the signal to the end, for responses and jobs together.'),
  signals: z
    .array(
      z.custom<NodeJS.Signals>(canBeHeard, 'expected a signal that a process can hear, such as "SIGTERM"'),
      {
        error: "expected signals, such as ['SIGTERM']",
      },
    )
    .default(['SIGTERM', 'SIGINT'])
    .describe('The signals that begin it.'),
  exit: z
    .boolean({ error: 'expected true or false' })
    .default(true)
    .describe('Whether the process exits at the end.'),
})

const beginSchema = z.strictObject({ timeout: timeoutSchema.optional() })

function canBeHeard(value: unknown): boolean {
  // Node refuses to listen to these two: they cannot be caught.
  return typeof value === 'string' && value in constants.signals && !['SIGKILL', 'SIGSTOP'].includes(value)
}

/** The share of the time that open responses have before they are cut off. */
const RESPONSES_SHARE = 0.75
/** The share of it in which a connection may still deliver the rest of a request's head, and the longest time for that. */
const HEAD_SHARE = 0.25
const LONGEST_HEAD = 1000
// What is over by then needs no line.
const TELL_AFTER = 100

/**
 * Shuts a server and a runtime down in order when the process is told to end. Call it right after `listen`:
 * `shutdown(app.server, runtime)`. On the first signal the server accepts no more connections; open responses finish and
 * may still add jobs; then the runtime finishes what was accepted. A second signal ends it at once, a third kills the process;
 * signals that come within half a second are one, since one Ctrl+C may arrive as several.
 * What is waited for, was lost, or is left for the next start is told on stderr; the exit code is 0 only if nothing was lost.
 * For servers of `node:http`, `node:https` and `node:http2`.
 *
 * @throws OptionsInvalidError when an option is unknown or has a bad value, or server or runtime is none (Polka's
 * `app.server` is undefined before `listen`).
 */
export function shutdown(server: Server, runtime: AnyRuntime, options: ShutdownOptions = {}): Shutdown {
  refuseInThread('shutdown')
  const { timeout, signals, exit } = readOptions(optionsSchema, options, 'shutdown')
  if (!isA(server, Server)) {
    throw new OptionsInvalidError(
      `shutdown: the server is ${describeValue(server)}; expected a server of node:http, node:https or node:http2. Polka's app.server is there after app.listen().`,
      'server',
    )
  }
  if (!isRuntime(runtime)) {
    throw new OptionsInvalidError(
      `shutdown: the runtime is ${describeValue(runtime)}; expected what createRuntime returned. Call shutdown(server, runtime).`,
      'runtime',
    )
  }
  const sequence = new Sequence(closingServer(server), runtime)
  const begin = (signal: NodeJS.Signals): void => {
    const end = (exitCode: number): void => {
      process.exitCode = exitCode
      // Not before whoever awaits `done` has had a turn.
      if (exit) setImmediate(() => void leave(exitCode, runtime[engineOf].pools.hasStuckThread))
    }
    sequence.begin(timeout, signal).then(
      (report) => end(report.exitCode),
      (error: unknown) => {
        process.stderr.write(`aftertask: shutdown after ${signal}: the runtime did not stop: ${error}\n`)
        end(1)
      },
    )
  }
  const stopListening = onStopSignals({
    signals,
    clock: runtime[engineOf].clock,
    begin,
    hurry: (signal) => void sequence.begin(0, signal).catch(() => {}),
  })
  const remove = (): void => {
    stopListening()
    sequence.standDown()
  }
  return {
    begin: async (given = {}) =>
      sequence.begin(readOptions(beginSchema, given, 'shutdown.begin').timeout ?? timeout, null),
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
  #isOver = false
  #clearTimer: (() => void) | undefined
  #clearHeadTimer: (() => void) | undefined

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
      const headTime = Math.min(timeout * HEAD_SHARE, LONGEST_HEAD)
      this.#clearHeadTimer = clock.timer(headTime, () => this.#server.cutUnasked())
      if (signal !== null && timeout > TELL_AFTER)
        clock.timer(TELL_AFTER, () => this.#tellWaiting(signal, timeout))
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

  #tellWaiting(signal: NodeJS.Signals, timeout: number): void {
    if (this.#isOver) return
    // Somebody who has asked twice has not been told to wait.
    if (this.#deadline <= this.#runtime[engineOf].clock.now()) return
    const jobs = this.#runtime[engineOf].stopping.waitedFor(this.#deadline)
    const line = waitingLine({ signal, timeout, responses: this.#server.busy(), jobs })
    if (line !== null) process.stderr.write(`aftertask: ${line}\n`)
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
    this.#clearHeadTimer?.()
    const { clock } = this.#runtime[engineOf]
    try {
      const report = await this.#runtime.stop({ timeout: Math.max(0, this.#deadline - clock.now()) })
      const exitCode = report.lost.length === 0 ? 0 : 1
      const full: ShutdownReport = { ...report, signal: this.#signal, cut: this.#cut, exitCode }
      this.#isOver = true
      for (const line of reportLines(full)) process.stderr.write(`aftertask: ${line}\n`)
      this.#ended.resolve(full)
    } catch (error) {
      this.#isOver = true
      this.#ended.reject(error)
    }
  }
}
