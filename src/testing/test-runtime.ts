/** A runtime for tests: no server, no store, no sleeps. */
import { AssertionError } from 'node:assert/strict'
import type { AnyHandler } from '../../workers/loaded-handlers.ts'
import { Job } from '../engine/job.ts'
import { engineOf, Runtime } from '../engine/runtime.ts'
import type { TaskList, TasksIn } from '../engine/runtime-options.ts'
import { PiscinaSource } from '../pools/piscina.ts'
import { ThreadPool } from '../pools/thread-pool.ts'
import { refusal } from '../rules/arguments.ts'
import type { PayloadAndOptions, ResultOfCall, TaskOf } from '../rules/calls.ts'
import { readOrError } from '../rules/codec.ts'
import type { JobRecord } from '../rules/job-record.ts'
import { refuseInThread } from '../rules/own-thread.ts'
import type { AnyTask, ParsedPayloadOf } from '../rules/task.ts'
import { systemClock } from '../words/clock.ts'
import { isTerminal } from '../words/job.ts'
import { type AddedJob, callerIn, listed, matching, shown } from './added-jobs.ts'
import { Changes } from './changes.ts'
import { InlineSource } from './inline-source.ts'
import { TestClock } from './test-clock.ts'
import {
  type Drained,
  type DrainOptions,
  type Performed,
  readGiven,
  type TestMode,
  type TestRuntimeOptions,
  type WaitForOptions,
} from './test-options.ts'

/** Milliseconds: no timer of Node's is longer. */
const LONGEST_TIMER = 2 ** 31 - 1

/** A test runtime, whatever its tasks. */
// biome-ignore lint/suspicious/noExplicitAny: of a runtime of any tasks, the tasks do not matter.
export type AnyTestRuntime = TestRuntime<any>

/** A runtime whose clock is the test's, with what tests ask of it. Made by `createTestRuntime`. */
export class TestRuntime<Tasks extends AnyTask = AnyTask> extends Runtime<Tasks> {
  /** The clock by which delays, back-off, schedules and timeouts of this runtime go. It stands still until it is advanced. */
  readonly clock: TestClock
  readonly #mode: TestMode
  readonly #failOnLeft: boolean
  readonly #options: TestRuntimeOptions
  readonly #added: AddedJob[] = []
  readonly #changes: Changes
  /** Aborts whose handlers have had their grace. */
  readonly #graced = new WeakSet<object>()

  /** @internal */
  constructor(given: TestRuntimeOptions) {
    const {
      mode = 'inline',
      handlers,
      startAt = new Date(),
      failOnLeft = false,
      ...options
    } = readGiven(given)
    const clock = new TestClock(startAt, () => this.#taken())
    const mocks = new Map(Object.entries(handlers ?? {})) as Map<string, AnyHandler>
    const isInline = mode !== 'threads'
    super(
      { log: false, ...(isInline && { pool: { threads: 1, concurrency: 1 } }), ...options },
      {
        clock,
        random: Math.random,
        makePool: (parts) =>
          new ThreadPool(
            { ...parts, clock: systemClock, time: clock.cell },
            isInline ? new InlineSource(mocks) : new PiscinaSource(parts.options),
          ),
      },
    )
    this.clock = clock
    this.#mode = mode
    this.#failOnLeft = failOnLeft
    this.#options = given
    this.#changes = new Changes(this, () => clock.noteNews())
    this.on('job:enqueued', ({ job }) => this.#note(job.id, new Error('where').stack))
    if (mode === 'manual') this.pause()
  }

  /** Every job that was added, in order, those of handlers included. */
  get added(): readonly AddedJob[] {
    return this.#added
  }

  /**
   * Runs what can run, and resolves once nothing can any more. Rejects when a job ends dead, with the job's error as cause.
   *
   * @throws AssertionError (as a rejection) naming each job that ended dead, unless `throws` is false.
   */
  async drain({ scheduled = false, recursive = true, throws = true }: DrainOptions = {}): Promise<Drained> {
    if (scheduled && !recursive)
      throw refusal('drain', 'the option recursive', recursive, 'true, or no scheduled: true beside it')
    const ended = { completed: 0, dead: 0, cancelled: 0, skipped: 0, lost: 0 }
    const faults: { job: AddedJob | undefined; fault: Error }[] = []
    const first = new Set(this.#added.filter(({ job }) => !isTerminal(job.state)).map(({ id }) => id))
    const stop = this.#changes.onEnd((state, id, error) => {
      ended[state]++
      first.delete(id)
      if (state === 'dead' && error !== undefined)
        faults.push({ job: this.#added.find((added) => added.id === id), fault: error })
      if (!recursive && first.size === 0) this.pause()
    })
    if (recursive || first.size > 0) this.resume()
    try {
      do await this.#idle(recursive ? undefined : first)
      while (scheduled && (await this.#hasScheduled()) && (await this.clock.next()))
    } finally {
      stop()
      if (this.#mode === 'manual') this.pause()
    }
    if (throws && faults.length > 0) throw deadInDrain(faults)
    const { lost: _, ...drained } = ended
    return drained
  }

  /**
   * Runs one job of a task by itself: the payload is checked as it would be, the handler has its whole context, and the outcome
   * says all that came of it. A failure is an outcome and is not tried again. Jobs that the handler adds do not run.
   *
   * @throws What adding the job throws (as a rejection): ERR_PAYLOAD_INVALID, for example.
   */
  async perform<const Given extends Tasks | Tasks['name']>(
    task: Given,
    ...rest: PayloadAndOptions<TaskOf<Tasks, NoInfer<Given>>>
  ): Promise<Performed<ResultOfCall<Tasks, Given>>> {
    const startAt = this.clock.date()
    const mode = this.#mode === 'threads' ? 'threads' : 'inline'
    const stage = new TestRuntime({
      ...this.#options,
      broker: undefined as never,
      mode,
      startAt,
      failOnLeft: false,
    })
    try {
      const progress: unknown[] = []
      const logs: Performed['logs'][number][] = []
      stage.on('job:started', () => stage.pause())
      stage.on('job:progress', (event) => progress.push(event.progress))
      stage.on('job:log', ({ level, message, data }) => logs.push({ level, message, data }))
      const [payload, options] = rest as unknown as [unknown, object | undefined]
      const job = stage.enqueue(
        nameOf(task) as never,
        payload as never,
        { ...options, maxAttempts: 1 } as never,
      )
      const { state, result, error } = await job.settled
      return {
        ...{ state, error, progress, logs },
        result: result as ResultOfCall<Tasks, Given> | undefined,
        added: stage.added.slice(1),
      }
    } finally {
      await stage.stop({ timeout: 0 })
    }
  }

  /**
   * Resolves to the first job of a task that is in the state asked for, also when that was so before the call.
   *
   * @throws AssertionError (as a rejection) after `within` milliseconds of real time, with the list of what was added.
   */
  async waitFor<const Given extends Tasks | Tasks['name']>(
    task: Given,
    { payload, state, within = 5000 }: WaitForOptions = {},
  ): Promise<AddedJob<ParsedPayloadOf<TaskOf<Tasks, Given>>, ResultOfCall<Tasks, Given>>> {
    const name = nameOf(task)
    const isThere = ({ id, job }: AddedJob): boolean => {
      if (state === undefined) return isTerminal(job.state)
      // A job that was sent to a thread counts as running; a test waits for the handler.
      return job.state === state && (state !== 'running' || this.#changes.hasStarted(id))
    }
    const look = (): AddedJob | undefined => matching(this.#added, name, payload).find(isThere)
    const found = await this.#changes.until(look, within)
    if (found !== undefined) return found as never
    const wanted = payload === undefined ? '' : ` with ${shown(payload)}`
    throw new AssertionError({
      message: `No job of "${name}"${wanted} was ${state ?? 'over'} within ${within} ms. ${listed(this.#added)}`,
      stackStartFn: this.waitFor,
    })
  }

  /** Resolves to the first added job that `look` finds within so many milliseconds; undefined when none came. @internal */
  untilAdded(look: () => AddedJob | undefined, within: number): Promise<AddedJob | undefined> {
    return this.#changes.until(look, within)
  }

  /** As `stop` of a runtime; from then on the time is real. */
  override async stop(options: { timeout?: number } = {}): Promise<Awaited<ReturnType<Runtime['stop']>>> {
    const left = this.#added.filter(({ job }) => !isTerminal(job.state))
    this.clock.thaw()
    const report = await super.stop(options)
    if (this.#failOnLeft && left.length > 0) {
      throw new AssertionError({
        message: `The runtime was stopped before ${left.length === 1 ? 'a job' : `${left.length} jobs`} had ended. ${listed(left)}`,
        stackStartFn: this.stop,
      })
    }
    return report
  }

  /** Ends at once what still runs: a test is over when it is over. */
  override async [Symbol.asyncDispose](): Promise<void> {
    await this.stop({ timeout: 0 })
  }

  #recordOf(id: string): JobRecord | undefined {
    const { broker, ids } = this[engineOf]
    return broker.jobs.get(Number.parseInt(id.slice(ids.prefix.length), 36))
  }

  #note(id: string, stack: string | undefined): void {
    const engine = this[engineOf]
    const record = this.#recordOf(id)
    if (record === undefined) return
    const dueAt = record.extras?.dueAt
    this.#added.push({
      id,
      name: record.entry.task.name,
      payload: record.payload === undefined ? undefined : readOrError(record.payload as never, 'payload'),
      job: new Job(record, engine.jobs),
      dueAt: dueAt === undefined ? undefined : new Date(engine.jobs.wallTime(dueAt)),
      addedAt: callerIn(stack),
    })
    this.#changes.note()
  }

  /** Resolves once threads are up, and the handlers of all jobs that were sent there have begun. */
  async #taken(): Promise<void> {
    await this.ready().catch(() => {})
    for (;;) {
      const seen = this.#changes.count
      const isOnItsWay = ({ id, job }: AddedJob): boolean =>
        job.state === 'running' && !this.#changes.hasStarted(id)
      if (!this.#added.some(isOnItsWay)) break
      if (this.#changes.count === seen) await this.#changes.next()
    }
    await Promise.all(this.#added.map((added) => this.#grace(added)))
  }

  /** Gives a handler that was asked to end its grace, in real time: on a thread it hears of it only then. */
  async #grace({ id, job }: AddedJob): Promise<void> {
    const abort = this.#recordOf(id)?.extras?.abort
    if (abort === undefined || job.state !== 'running' || this.#graced.has(abort)) return
    this.#graced.add(abort)
    const isOver = (): true | undefined => (this.#recordOf(id)?.extras?.abort === abort ? undefined : true)
    await this.#changes.until(isOver, Math.min(abort.killAt - this.clock.now(), LONGEST_TIMER))
  }

  async #hasScheduled(): Promise<boolean> {
    const { scheduled, retryable } = await this.counts()
    return scheduled + retryable > 0
  }

  /** Resolves when no job is available or runs; of the given ones, when there are any. */
  async #idle(only: ReadonlySet<string> | undefined): Promise<void> {
    for (;;) {
      const seen = this.#changes.count
      if (only !== undefined && only.size === 0) return
      const { available, running, held } = await this.counts()
      if (available + running > 0) {
        if (this.#changes.count === seen) await this.#changes.next()
        continue
      }
      // A client has its answer a moment before the server knows that the response is over.
      if (held > 0) await this.clock.quiet()
      if (held === 0 || this.#changes.count === seen) return
    }
  }
}

/**
 * Creates a runtime for tests: `await using runtime = createTestRuntime({ tasks })`. It takes the options of `createRuntime`; its
 * clock stands still until the test advances it, and nothing but this runtime goes by that clock.
 *
 * @throws OptionsInvalidError when an option is unknown or has a bad value.
 */
export function createTestRuntime<const Tasks extends TaskList>(
  options: TestRuntimeOptions<Tasks>,
): TestRuntime<TasksIn<Tasks>> {
  refuseInThread('createTestRuntime')
  return new TestRuntime<TasksIn<Tasks>>(options as unknown as TestRuntimeOptions)
}

/** The name of a task, which is given by itself or by its name. */
export function nameOf(task: AnyTask | string): string {
  return typeof task === 'string' ? task : task.name
}

function deadInDrain(faults: readonly { job: AddedJob | undefined; fault: Error }[]): AssertionError {
  const lines = faults.map(({ job, fault }) => `  "${job?.name}" ${shown(job?.payload)}: ${fault.message}`)
  const count = faults.length === 1 ? 'A job' : `${faults.length} jobs`
  const error = new AssertionError({ message: `${count} ended dead:\n${lines.join('\n')}` })
  return Object.assign(error, { cause: faults[0]?.fault })
}
