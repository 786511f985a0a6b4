/** Takes the engine's place at a broker: adds, claims and finishes jobs by hand, over the real clock. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Attempt } from '../../brokers/port/attempt.ts'
import type { Broker, JobChange } from '../../brokers/port/broker.ts'
import type { BrokerHost } from '../../brokers/port/host.ts'
import type { Encoded } from '../../rules/codec.ts'
import { type BatchLink, JobRecord } from '../../rules/job-record.ts'
import { Registry, type TaskEntry } from '../../rules/registry.ts'
import { defineTask } from '../../rules/task.ts'
import { systemClock } from '../../words/clock.ts'
import type { BrokerKind } from './kind.ts'

const handler = new URL('./none.ts', import.meta.url)
const tasks = [
  defineTask({ name: 'plain', handler }),
  defineTask({ name: 'io', handler, pool: 'io' }),
  defineTask({ name: 'single', handler, concurrency: 1 }),
] as const
type TaskName = (typeof tasks)[number]['name']
let prefixes = 0
// Milliseconds.
const ASK_AGAIN = 50

/** What a rule says of a job that it adds. */
export interface Given {
  readonly task?: TaskName
  readonly priority?: number
  readonly key?: string
  readonly unique?: string
  readonly delay?: number
  readonly queueTimeout?: number
  readonly batch?: BatchLink
  readonly after?: JobRecord
  readonly payload?: string
}

/** One broker and its host. */
export class Bench implements BrokerHost {
  readonly clock = systemClock
  readonly ageing = 1000
  readonly retention = { count: 1000, age: 3_600_000 }
  readonly entries: readonly TaskEntry[]
  readonly idPrefix = `j${Date.now().toString(36)}x${++prefixes}-`
  readonly broker: Broker
  /** Jobs whose end was reported, in that order. */
  readonly told: JobRecord[] = []
  /** The run times that were reported with them. */
  readonly ran = new Map<JobRecord, number>()
  readonly #kind: BrokerKind
  readonly #place: string
  readonly #others: Bench[] = []
  #seq = 0
  #changed = Promise.withResolvers<void>()
  #isClosed = false

  /** `without`: tasks that this one does not have. */
  constructor(
    kind: BrokerKind,
    place: string = mkdtempSync(join(tmpdir(), 'aftertask-contract-')),
    without: readonly TaskName[] = [],
  ) {
    this.entries = new Registry(tasks.filter(({ name }) => !without.includes(name))).entries
    this.#kind = kind
    this.#place = place
    this.broker = kind.make(place)
  }

  async open(): Promise<void> {
    await this.broker.open(this)
  }

  async close(): Promise<void> {
    await this.#closeBroker()
    await Promise.all(this.#others.map((other) => other.close()))
    rmSync(this.#place, { recursive: true, force: true })
  }

  /** Another broker over the same place, with this one closed. */
  async reopen(...without: readonly TaskName[]): Promise<Bench> {
    await this.#closeBroker()
    return this.beside(...without)
  }

  /** Another broker over the same place. `without`: tasks that it does not have. */
  async beside(...without: readonly TaskName[]): Promise<Bench> {
    const other = new Bench(this.#kind, this.#place, without)
    this.#others.push(other)
    await other.open()
    return other
  }

  // ── As a host ──────────────────────────────────────────────────────────────────────────────────────────────────

  wake(): void {
    this.#change()
  }

  settled(job: JobRecord, ran: number): void {
    this.told.push(job)
    this.ran.set(job, ran)
    this.#change()
  }

  warn(): void {}

  settledLate(job: JobRecord): void {
    this.settled(job, 0)
  }

  pendingChanged(): void {
    this.#change()
  }

  freed(): void {}

  slots(): number {
    return 16
  }

  cancel(): boolean {
    return false
  }

  connectionChanged(): void {}

  leaseLost(): void {}

  fenced(): void {}

  // ── As an engine ───────────────────────────────────────────────────────────────────────────────────────────────

  batch(onFailure: BatchLink['onFailure'] = 'continue'): BatchLink {
    return { onFailure, facts: null }
  }

  add({ task = 'plain', priority = 0, batch, after, payload, ...given }: Given = {}): JobRecord {
    const entry = this.entryOf(task)
    const job = new JobRecord(++this.#seq, entry, payload, priority, Math.round(this.clock.now()))
    if (given.key !== undefined) job.more.key = given.key
    if (given.unique !== undefined) job.more.uniqueKey = given.unique
    if (given.queueTimeout !== undefined) job.more.queueTimeout = given.queueTimeout
    if (given.delay !== undefined) job.more.dueAt = this.clock.now() + given.delay
    // As one whose end is awaited: its record stays the same, wherever the job waits.
    job.more.settle = Promise.withResolvers()
    job.batch = batch ?? null
    this.broker.intake.add(job, after ?? null)
    return job
  }

  addAll(count: number): JobRecord[] {
    return Array.from({ length: count }, () => this.add())
  }

  /** The response of a batch is over. */
  settleResponse(batch: BatchLink, ...jobs: readonly JobRecord[]): void {
    batch.facts = { statusCode: 200, outcome: 'sent', error: undefined, method: 'GET', url: '/' }
    for (const job of jobs) this.broker.intake.release(job)
  }

  /** Claims the next job of a pool, as soon as there is one. */
  async claim(pool = 'default'): Promise<JobRecord> {
    await this.#until(() => this.broker.ready.peek(pool) !== undefined)
    const job = this.broker.ready.claim(pool)
    if (job === undefined) throw new Error('peek has shown a job that claim does not give')
    job.attempts++
    this.broker.ready.sent([job], 1)
    return job
  }

  /** Claims and completes so many jobs, one after the other. */
  async runAll(count: number): Promise<JobRecord[]> {
    const ran: JobRecord[] = []
    while (ran.length < count) {
      const job = await this.claim()
      ran.push(job)
      this.complete(job)
    }
    await Promise.all(ran.map((job) => this.over(job)))
    return ran
  }

  /** The attempt of a job returned after so many milliseconds. */
  complete(job: JobRecord, result?: Encoded, ran = 0): void {
    const attempt = this.attempt(job, 'completed', undefined, ran)
    this.broker.attempts.finish(job, { state: 'completed', ...(result !== undefined && { result }), attempt })
  }

  /** The attempt of a job threw, and there is no further one. */
  fail(job: JobRecord): void {
    job.failures++
    const error = new Error('no')
    this.broker.attempts.finish(job, { state: 'dead', error, attempt: this.attempt(job, 'failed', error) })
  }

  /** The attempt of a job threw, and the next may start after so many milliseconds. */
  retry(job: JobRecord, delay: number): void {
    job.failures++
    const error = new Error('not yet')
    const { more } = job
    more.errors = [...(more.errors ?? []), error]
    this.broker.attempts.retry(job, this.clock.now() + delay, this.attempt(job, 'failed', error))
  }

  /** Changes a job that waits, where the broker can: false when it did not. */
  async change(job: JobRecord, change: JobChange): Promise<boolean> {
    return (await this.broker.changes?.change(job, change)) ?? false
  }

  /** The attempt of a job that is under way is over. */
  attempt(job: JobRecord, outcome: Attempt['outcome'], error?: Error, ran = 0): Attempt {
    const now = this.clock.now()
    return { number: job.attempts, outcome, started: now - ran, ended: now, ...(error && { error }) }
  }

  entryOf(task: TaskName): TaskEntry {
    const entry = this.entries.find((one) => one.task.name === task)
    if (entry === undefined) throw new Error(`There is no task ${task}.`)
    return entry
  }

  idOf(job: JobRecord): string {
    return job.extras?.id ?? this.idPrefix + job.seq.toString(36)
  }

  // ── What rules wait for ────────────────────────────────────────────────────────────────────────────────────────

  /** The end of a job has been told. */
  over(job: JobRecord): Promise<void> {
    return this.#until(() => this.told.includes(job))
  }

  /** Jobs that are added from now on are accepted at a later millisecond than those before. */
  async apart(): Promise<void> {
    // A time that is read as another clock's may be a millisecond off, either way.
    const now = Math.ceil(this.clock.wall()) + 5
    while (this.clock.wall() <= now) await pause(1)
  }

  /** Everything that was said to the broker has had its effect. */
  async barrier(): Promise<void> {
    await this.broker.jobs.counts()
  }

  /** So many jobs are available. */
  available(count: number): Promise<void> {
    return this.#seen(async () => (await this.broker.jobs.counts()).available === count)
  }

  /** Cancels a job by its id, wherever it is, as the engine does; resolves once it is cancelled. */
  async cancelById(id: string): Promise<void> {
    const { jobs, cluster, attempts } = this.broker
    const job = await jobs.find(id)
    if (job === undefined) throw new Error(`There is no job ${id}.`)
    const remote = cluster?.cancelRemote(job, undefined) ?? false
    if (remote === false) attempts.finish(job, { state: 'cancelled' })
    else await remote
    await this.#seen(async () => (await jobs.find(id))?.state === 'cancelled')
  }

  /** These jobs survive the process. */
  async stored(...jobs: readonly JobRecord[]): Promise<void> {
    await Promise.all(jobs.map((job) => this.broker.durability?.stored(job)))
  }

  /** True when no further job can be claimed, whatever is still on its way. */
  async nothingElse(): Promise<boolean> {
    await this.barrier()
    return this.broker.ready.peek('default') === undefined
  }

  #change(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) await this.#changed.promise
  }

  /** Asks until it is so. What happens to jobs that this one does not run, nobody tells it. */
  async #seen(holds: () => Promise<boolean>): Promise<void> {
    while (!(await holds())) await Promise.race([this.#changed.promise, pause(ASK_AGAIN)])
  }

  async #closeBroker(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.broker.close()
  }
}
