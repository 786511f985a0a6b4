/** The public face of the engine: `createRuntime` and what it returns. */
// long because: it is the whole public face, with one short method and its description for each call
import { memoryBroker } from '../brokers/memory.ts'
import type { Broker } from '../brokers/port/broker.ts'
import { expectJobId, isA } from '../rules/arguments.ts'
import type { ManyEntry, PayloadAndOptions, ResultOfCall, TaskOf } from '../rules/calls.ts'
import { jobViewSchema, stopOptionsSchema } from '../rules/filter-schemas.ts'
import type { FailureQuery, JobPage, JobQuery } from '../rules/job-query.ts'
import type { JobContext } from '../rules/job-record.ts'
import { actorSchema } from '../rules/option-schemas.ts'
import { readOptions } from '../rules/options.ts'
import { refuseInThread } from '../rules/own-thread.ts'
import type { RegisteredTask } from '../rules/registry.ts'
import { type ReadRuntimeOptions, runtimeOptionsSchema } from '../rules/runtime-schemas.ts'
import { type AnyTask, type PayloadOf, readTasks } from '../rules/task.ts'
import { memberOf } from '../words/describe.ts'
import { HandlerNotFoundError, RuntimeStoppedError } from '../words/errors.ts'
import type { EventName, Listener } from '../words/events.ts'
import type { JobInfo, JobOptions } from '../words/job.ts'
import { expectNode } from '../words/node-version.ts'
import { checkUnique, unlessFull } from './acceptance.ts'
import { assemble } from './assemble.ts'
import { audit } from './audit.ts'
import type { WaitUntilOptions } from './awaited-promises.ts'
import { Batch, type BatchOptions } from './batch.ts'
import { actOnAll, type BulkOptions, type BulkQuery, type BulkResult } from './bulk.ts'
import { Control } from './control.ts'
import type { Engine } from './engine.ts'
import { checkListener } from './event-names.ts'
import { type Inspect, infoOf, Job } from './job.ts'
import {
  type ActorOptions,
  cancelJob,
  changeJob,
  type RunAgainOptions,
  removeJob,
  reviveJob,
  runJobAgain,
  runJobNow,
} from './job-actions.ts'
import type { JobChangeOptions } from './job-changes.ts'
import { type DetailOptions, detailOf } from './job-detail.ts'
import { logsOf } from './job-logs.ts'
import { listJobs } from './job-queries.ts'
import { Log } from './log.ts'
import { countJobs, type FailureGroup, groupFailures, oldestAge, type StateCounts } from './overview.ts'
import { tellPauses } from './pauses.ts'
import { type Ports, realPorts } from './ports.ts'
import { metricsOf, type RuntimeMetrics } from './runtime-metrics.ts'
import type { JobsOf, RuntimeOptions, RuntimeStats, TaskList, TasksIn } from './runtime-options.ts'
import { pauseScheduleOf, removeSchedule, runScheduleNow } from './schedule-actions.ts'
import type { ScheduleInfo } from './schedule-definition.ts'
import type { ScheduleOptions } from './schedule-times.ts'
import { statsOf } from './stats.ts'
import type { StopReport } from './stopping.ts'
import { type JobEvent, type JobEventName, TaskListeners } from './task-listeners.ts'

// Once, where the package is imported: an older Node would fail in the middle of something.
expectNode(process.versions.node)

/** How a Runtime's engine is reached from the edges of this package; not for users. @internal */
export const engineOf: unique symbol = Symbol('aftertask.engine')

/** True for what `createRuntime` has made. */
export function isRuntime(value: unknown): value is AnyRuntime {
  return isA(value, Runtime) && memberOf(value, engineOf) !== undefined
}

/** Runs tasks: takes jobs in, brings them to threads, tells what becomes of them. Made by `createRuntime`. */
export class Runtime<Tasks extends AnyTask = RegisteredTask> {
  /** The tasks, as they were given. */
  readonly tasks: readonly Tasks[]
  /** @internal */
  readonly [engineOf]: Engine
  readonly #listeners = new TaskListeners()
  readonly #control: Control

  /** @internal */
  constructor(options: RuntimeOptions, ports: Ports = realPorts) {
    const read: ReadRuntimeOptions = readOptions(runtimeOptionsSchema, options, 'createRuntime')
    const list = readTasks(read.tasks, 'createRuntime')
    const log = new Log(read.log)
    const broker = (read.broker as Broker | undefined) ?? memoryBroker()
    checkUnique(list, broker.intake)
    this[engineOf] = assemble({ ...read, tasks: list }, broker, ports, log)
    this.tasks = list as readonly AnyTask[] as readonly Tasks[]
    this.#control = new Control(this, read.control, this[engineOf], log)
  }

  /**
   * Resolves when every pool has imported its handlers.
   *
   * @throws HandlerNotFoundError (as a rejection) naming each task whose module or export is missing or cannot be loaded.
   */
  async ready(): Promise<void> {
    if (this[engineOf].stopping.phase === 'stopped') throw new RuntimeStoppedError('stopped')
    await Promise.all([this[engineOf].opened, this.#control.opened])
    const problems = await this[engineOf].pools.ready()
    if (problems.length > 0) throw new HandlerNotFoundError(problems)
  }

  /**
   * Adds a job at once, with no response to wait for.
   *
   * @throws UnknownTaskError, PayloadInvalidError, NotSerializableError, QueueFullError, RuntimeStoppedError, OptionsInvalidError.
   */
  // One generic signature for a task and for its name: of two overloads, the compiler blames the task for a wrong payload.
  enqueue<const Given extends Tasks | Tasks['name']>(
    task: Given,
    ...rest: PayloadAndOptions<TaskOf<Tasks, NoInfer<Given>>>
  ): Job<ResultOfCall<Tasks, Given>>
  enqueue(task: string | AnyTask, payload?: unknown, options?: JobOptions): Job {
    return this.#add('enqueue', task, payload, options)
  }

  /** As `enqueue`, but returns null instead of throwing when the queue is full. */
  tryEnqueue<const Given extends Tasks | Tasks['name']>(
    task: Given,
    ...rest: PayloadAndOptions<TaskOf<Tasks, NoInfer<Given>>>
  ): Job<ResultOfCall<Tasks, Given>> | null
  tryEnqueue(task: string | AnyTask, payload?: unknown, options?: JobOptions): Job | null {
    return unlessFull(() => this.#add('tryEnqueue', task, payload, options))
  }

  #add(call: string, task: string | AnyTask, payload: unknown, options: JobOptions | undefined): Job {
    const { intake, jobs } = this[engineOf]
    return new Job(intake.take({ door: 'call', task, payload, options, batch: null, call }), jobs)
  }

  /** Adds many jobs: all of them, or, when one is refused, none. Throws what `enqueue` throws. */
  enqueueMany<const Entries extends readonly ManyEntry<Tasks>[]>(entries: Entries): JobsOf<Tasks, Entries>
  enqueueMany(entries: readonly ManyEntry<AnyTask>[]): Job[] {
    const { intake, jobs } = this[engineOf]
    return intake.takeAll(entries).map((record) => new Job(record, jobs))
  }

  /**
   * The facts of a job; undefined when it is unknown here or was too long finished. With `payload` also what it was given; with
   * `detail` its timeline, the jobs of its key and batch, and why it waits. Values of more than `most` bytes are left out, and
   * named in `cut`. With `logs`, what its handler has said. What is secret is hidden, unless
   * `reveal` shows it, and always in lines.
   *
   * @throws OptionsInvalidError (as a rejection) when an option is unknown or has a bad value.
   */
  async job(
    id: string,
    options: { logs?: boolean } & Partial<DetailOptions> = {},
  ): Promise<JobInfo | undefined> {
    const engine = this[engineOf]
    const read = readOptions(jobViewSchema, options, 'job')
    const record = await engine.jobs.find(expectJobId('job', id))
    if (record === undefined) return undefined
    const history = await engine.broker.jobs.history(record)
    return {
      ...infoOf(record, engine.jobs, read.reveal),
      history: read.reveal ? history : engine.redaction.facts(record, history),
      ...(await detailOf(engine, record, history, read)),
      ...(read.logs && { logs: await logsOf(engine, record) }),
    }
  }

  /**
   * The facts of the jobs that fit a query, page by page: `next` of a page is the `cursor` of the following one. Jobs of tasks
   * that this process does not have are found like all others. No payloads.
   *
   * @throws OptionsInvalidError (as a rejection) when the query has an unknown key, a bad value or a cursor of another broker;
   * UnknownTaskError for a task that nobody can have.
   */
  async jobs(query: JobQuery = {}): Promise<JobPage> {
    return listJobs(this[engineOf], query)
  }

  /** Cancels a job by its id; false when it is unknown or already over. */
  async cancel(id: string, reason?: unknown, options: ActorOptions = {}): Promise<boolean> {
    return cancelJob(this[engineOf], id, reason, options)
  }

  /**
   * Lets a job run that waits for its time, or for its next attempt, as soon as all else allows it; false when it is
   * unknown, has begun or is over.
   */
  async runNow(id: string, options: ActorOptions = {}): Promise<boolean> {
    return runJobNow(this[engineOf], id, options)
  }

  /**
   * Changes the priority, the time or the payload of a job that waits; false when it is unknown, has begun or is over.
   * A payload is checked by the task's schema, and must leave the job its `key` and what makes it `unique`.
   *
   * @throws OptionsInvalidError, PayloadInvalidError, NotSerializableError, PayloadTooLargeError (as rejections).
   */
  async change(id: string, change: JobChangeOptions, options: ActorOptions = {}): Promise<boolean> {
    return changeJob(this[engineOf], id, change, options)
  }

  /**
   * Adds a job of the same task as another, with its priority, key, timeout and `maxAttempts`, and with its payload or one
   * that is given; resolves to the handle of the new job, undefined when the other is unknown.
   *
   * @throws PayloadNotKeptError (as a rejection) when the job is over and was not dead, and no payload is given; else what
   * `enqueue` throws.
   */
  async runAgain(id: string, options: RunAgainOptions = {}): Promise<Job | undefined> {
    return runJobAgain(this[engineOf], id, options)
  }

  /**
   * Lets a dead job start over with a new count of attempts; false when it is unknown or not dead, when another job
   * now holds its unique key, or when the runtime stops. Resolves once the broker has it as safely as it can.
   *
   * @throws QueueFullError (as a rejection) when there is no room for it. BrokerUnavailableError when it could not be written
   * within the broker's patience: it may start over later.
   */
  async revive(id: string, options: ActorOptions = {}): Promise<boolean> {
    return reviveJob(this[engineOf], id, options)
  }

  /**
   * Cancels every job that fits and is not over. As all actions on a query: it goes page by page, tells `action:progress`, and
   * with `dryRun` counts alone. Resolves to how many fitted, and with how many it was done.
   *
   * @throws OptionsInvalidError (as a rejection) when the query or an option is unknown or has a bad value.
   */
  async cancelAll(query: BulkQuery = {}, options: BulkOptions = {}): Promise<BulkResult> {
    return actOnAll(this[engineOf], 'cancelAll', query, options)
  }

  /**
   * Lets every dead job that fits start over.
   *
   * @throws QueueFullError (as a rejection) when there is no room for all: those before it have started over.
   */
  async reviveAll(query: BulkQuery = {}, options: BulkOptions = {}): Promise<BulkResult> {
    return actOnAll(this[engineOf], 'reviveAll', query, options)
  }

  /** Lets every job that fits, and waits for its time or for its next attempt, be due. */
  async runNowAll(query: BulkQuery = {}, options: BulkOptions = {}): Promise<BulkResult> {
    return actOnAll(this[engineOf], 'runNowAll', query, options)
  }

  /** Forgets every job that fits and is over: dead ones, where the query names no state. */
  async removeAll(query: BulkQuery = {}, options: BulkOptions = {}): Promise<BulkResult> {
    return actOnAll(this[engineOf], 'removeAll', query, options)
  }

  /** Forgets a job that is over, such as a dead one that nobody will revive; false when it is unknown or not over. */
  async remove(id: string, options: ActorOptions = {}): Promise<boolean> {
    return removeJob(this[engineOf], id, options)
  }

  /**
   * Adds jobs of a task by the clock: by a cron pattern in a time zone, or every so many milliseconds. Setting an id
   * again replaces its schedule; an unchanged one goes on as it was. A broker that survives the process keeps schedules
   * too, with the runs that are due. A schedule keeps the process that has set it alive, until `unschedule` or `stop`.
   *
   * @throws OptionsInvalidError, UnknownTaskError, PayloadInvalidError, NotSerializableError, RuntimeStoppedError.
   */
  schedule<const Given extends Tasks | Tasks['name']>(
    id: string,
    task: Given,
    payload: PayloadOf<TaskOf<Tasks, NoInfer<Given>>>,
    options: ScheduleOptions,
  ): ScheduleInfo
  schedule(id: string, task: string | AnyTask, payload: unknown, options: ScheduleOptions): ScheduleInfo {
    const { stopping, schedules } = this[engineOf]
    if (stopping.phase !== 'running') throw new RuntimeStoppedError(stopping.phase)
    return schedules.set(id, task, payload, options)
  }

  /** Takes a schedule away; false when there was none. Jobs that it has added stay. */
  async unschedule(id: string, options: ActorOptions = {}): Promise<boolean> {
    return removeSchedule(this[engineOf], id, options)
  }

  /**
   * Adds the job of a schedule now, besides its runs; resolves to its handle, undefined when there is no such schedule.
   *
   * @throws What `enqueue` throws (as a rejection).
   */
  async runSchedule(id: string, options: ActorOptions = {}): Promise<Job | undefined> {
    return runScheduleNow(this[engineOf], id, options)
  }

  /**
   * Makes no more runs of a schedule, in any process, until `resumeSchedule`: a restart, and a `schedule` call of its id, leave
   * it paused. Runs that pass meanwhile are not made up. False when there is no such schedule.
   */
  async pauseSchedule(id: string, options: ActorOptions = {}): Promise<boolean> {
    return pauseScheduleOf(this[engineOf], 'pause', id, options)
  }

  /** Makes the runs of a schedule again, from the next one on; false when there is no such schedule. */
  async resumeSchedule(id: string, options: ActorOptions = {}): Promise<boolean> {
    return pauseScheduleOf(this[engineOf], 'resume', id, options)
  }

  /**
   * Takes away every schedule that this process has not set, such as those that a deploy has dropped from the code; resolves
   * to their ids. Call it once all of its own are set. In a store that other programs share it takes away theirs as well.
   */
  async unscheduleOthers(): Promise<string[]> {
    return this[engineOf].schedules.removeOthers()
  }

  /** Every schedule, by id, those that the broker keeps from earlier included. */
  async schedules(): Promise<ScheduleInfo[]> {
    return this[engineOf].schedules.list()
  }

  /**
   * Starts no more jobs, of one pool or of all. Running jobs go on, and jobs are still accepted. A stop does not resume:
   * what waits then is reported as lost (or left) at its deadline.
   *
   * @throws OptionsInvalidError when no pool has that name.
   */
  pause(pool?: string, options: ActorOptions = {}): void {
    const { by } = readOptions(actorSchema, options, 'pause')
    const { pools, scheduler } = this[engineOf]
    pools.expectKnown(pool, 'pause')
    scheduler.pause(pool)
    tellPauses(this[engineOf])
    audit(this[engineOf], by, { action: 'pause', on: { pool }, count: 1 })
  }

  /**
   * Starts jobs again after `pause`: of one pool, or of all, also of those that were paused by name.
   *
   * @throws OptionsInvalidError when no pool has that name.
   */
  resume(pool?: string, options: ActorOptions = {}): void {
    const { by } = readOptions(actorSchema, options, 'resume')
    const { pools, scheduler } = this[engineOf]
    pools.expectKnown(pool, 'resume')
    scheduler.resume(pool)
    tellPauses(this[engineOf])
    audit(this[engineOf], by, { action: 'resume', on: { pool }, count: 1 })
  }

  /**
   * Replaces every thread by one that imports the handlers anew, and what they import: for servers in development. Jobs that run
   * end first, on the old threads; those that start from now on have the new code. Resolves as `ready` does.
   *
   * @throws HandlerNotFoundError (as a rejection) naming each task whose handler cannot be imported now.
   */
  async reload(): Promise<void> {
    const { reloads, stopping } = this[engineOf]
    if (stopping.phase !== 'running') throw new RuntimeStoppedError(stopping.phase)
    await reloads.reload()
  }

  /** This process at this moment; synchronous and cheap. */
  stats(): RuntimeStats {
    return statsOf(this[engineOf])
  }

  /**
   * What this process has counted since the runtime was created, by task and by pool: jobs and attempts by how they ended,
   * and histograms of waiting, running and the whole, in milliseconds. Synchronous; a copy that nobody changes.
   */
  metrics(): RuntimeMetrics {
    return metricsOf(this[engineOf])
  }

  /**
   * How many jobs are in each state, across the broker: of all (by default), by the names of tasks, those of tasks that this
   * process does not have included, or by the names of pools, with such tasks under the empty name.
   */
  counts(options?: { by?: 'state' }): Promise<StateCounts>
  counts(options: { by: 'task' | 'pool' }): Promise<Record<string, StateCounts>>
  async counts(
    options: { by?: 'state' | 'task' | 'pool' } = {},
  ): Promise<StateCounts | Record<string, StateCounts>> {
    return countJobs(this[engineOf], options)
  }

  /**
   * For how many milliseconds the oldest job that could run has waited, of one task, of one pool or of all; undefined when none waits.
   *
   * @throws OptionsInvalidError, UnknownTaskError (as a rejection).
   */
  async oldestAge(options: { task?: string | AnyTask; pool?: string } = {}): Promise<number | undefined> {
    return oldestAge(this[engineOf], options)
  }

  /**
   * The dead jobs that fit a query, by task, code, message (without what differs from job to job) and place in the code; what came
   * last first. The newest `limit` (5,000) of those that fit are looked at.
   *
   * @throws OptionsInvalidError, UnknownTaskError (as a rejection).
   */
  async failures(query: FailureQuery = {}): Promise<FailureGroup[]> {
    return groupFailures(this[engineOf], query)
  }

  /**
   * Listens to an event: of all jobs, or with a task before the listener, of that task's jobs, whose `result` then has its type.
   * What a listener throws is contained: it goes to stderr as one line.
   *
   * @throws OptionsInvalidError when there is no such event, with the nearest one, or the listener is no function.
   */
  on<Name extends EventName>(name: Name, listener: Listener<Name>): this
  on<Name extends JobEventName, const Given extends Tasks | Tasks['name']>(
    name: Name,
    task: Given,
    listener: (event: JobEvent<Name, TaskOf<Tasks, NoInfer<Given>>>) => void,
  ): this
  on(name: EventName, ...rest: readonly unknown[]): this {
    const engine = this[engineOf]
    const listener = this.#listenerIn('on', name, rest)
    engine.announcer.events.on(name, listener)
    if (name === 'job:started') engine.pools.tellStarts(true)
    return this
  }

  /** Stops listening: with the task, where it was given. Throws as `on` does. */
  off<Name extends EventName>(name: Name, listener: Listener<Name>): this
  off<Name extends JobEventName, const Given extends Tasks | Tasks['name']>(
    name: Name,
    task: Given,
    listener: (event: JobEvent<Name, TaskOf<Tasks, NoInfer<Given>>>) => void,
  ): this
  off(name: EventName, ...rest: readonly unknown[]): this {
    const engine = this[engineOf]
    const listener = this.#listenerIn('off', name, rest)
    engine.announcer.events.off(name, listener)
    if (name === 'job:started') engine.pools.tellStarts(engine.announcer.events.isWanted(name))
    return this
  }

  #listenerIn(call: string, name: EventName, rest: readonly unknown[]): Listener<EventName> {
    const [task, listener] = rest.length > 1 ? rest : [undefined, rest[0]]
    checkListener(call, name, listener)
    if (rest.length < 2) return listener as Listener<EventName>
    const { name: of } = this[engineOf].registry.find(task as string | AnyTask, call).task
    return this.#listeners.of(call, name, of, listener as Listener<EventName>)
  }

  /**
   * Lets a stop wait for work on the event loop that has no task, such as a request to another server that the response does not
   * wait for: `runtime.waitUntil(audit(order), { name: 'audit' })`. It has no thread, no retry and no bound. Its rejection is the
   * event `promise:rejected`, and the report of a stop names it when it has not settled by the deadline.
   *
   * @throws OptionsInvalidError when the promise is none; RuntimeStoppedError once the runtime has stopped.
   */
  waitUntil(promise: PromiseLike<unknown>, options?: WaitUntilOptions): void {
    this[engineOf].stopping.awaited.add(promise, options)
  }

  /**
   * Stops: accepts no more, lets open responses and accepted jobs finish, then ends the threads. Past `timeout`
   * milliseconds (default 10,000; Infinity waits for ever) running attempts are aborted and, after `killGrace`, ended;
   * the report names what did not finish. Calling it again returns the same report, and may bring the deadline nearer.
   */
  async stop(options: { timeout?: number } = {}): Promise<StopReport> {
    const { timeout } = readOptions(stopOptionsSchema, options, 'stop')
    const { reloads, schedules, stopping } = this[engineOf]
    reloads.close()
    schedules.close()
    const report = await stopping.stop(timeout)
    await this.#control.close()
    return report
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /** What `console.log(runtime)` shows. @internal */
  [Symbol.for('nodejs.util.inspect.custom')](_depth: number, options: object, inspect: Inspect): string {
    const { phase, pending, pools } = this.stats()
    return `Runtime ${inspect({ phase, pending, tasks: this.tasks.map(({ name }) => name), pools }, options)}`
  }

  /** Opens a batch: for the edges of this package. @internal */
  openBatch(options: BatchOptions, context?: JobContext): Batch {
    return new Batch(this[engineOf].intake, this[engineOf].responses, options, context)
  }
}

/** A runtime, whatever its tasks: what functions take that are to serve every runtime. `Runtime` alone has the registered tasks. */
export type AnyRuntime = Runtime<AnyTask>

/**
 * Creates a runtime and starts its threads at once; `ready()` tells when they are up. An idle runtime does not keep the
 * process alive; unfinished jobs and the schedules that it has set do.
 *
 * @throws OptionsInvalidError when an option is unknown (with the nearest known one) or has a bad value.
 */
export function createRuntime<const Tasks extends TaskList>(
  options: RuntimeOptions<Tasks>,
): Runtime<TasksIn<Tasks>> {
  refuseInThread('createRuntime')
  return new Runtime<TasksIn<Tasks>>(options)
}
