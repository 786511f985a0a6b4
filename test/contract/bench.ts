/** An engine's place at a broker, taken by a test: adds, claims and finishes jobs by hand, over the real clock. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Attempt } from '../../src/brokers/port/attempt.ts'
import type { Broker } from '../../src/brokers/port/broker.ts'
import type { BrokerHost } from '../../src/brokers/port/host.ts'
import type { Encoded } from '../../src/rules/codec.ts'
import { type BatchLink, JobRecord } from '../../src/rules/job-record.ts'
import { Registry } from '../../src/rules/registry.ts'
import { defineTask } from '../../src/rules/task.ts'
import { systemClock } from '../../src/words/clock.ts'
import type { BrokerKind } from './broker-contract.ts'

const handler = new URL('./none.ts', import.meta.url)
const names = ['plain', 'io', 'single'] as const
const tasks = [
  defineTask({ name: 'plain', handler }),
  defineTask({ name: 'io', handler, pool: 'io' }),
  defineTask({ name: 'single', handler, concurrency: 1 }),
]
let prefixes = 0

/** What a test says of a job that it adds. */
export interface Given {
  readonly task?: (typeof names)[number]
  readonly priority?: number
  readonly key?: string
  readonly unique?: string
  readonly delay?: number
  readonly batch?: BatchLink
  readonly after?: JobRecord
  readonly payload?: string
}

/** One broker and its host. */
export class Bench implements BrokerHost {
  readonly clock = systemClock
  readonly ageing = 1000
  readonly retention = { count: 1000, age: 3_600_000 }
  readonly entries = new Registry(tasks).entries
  readonly idPrefix = `j${Date.now().toString(36)}x${++prefixes}-`
  readonly broker: Broker
  /** Jobs whose end was told, in that order. */
  readonly told: JobRecord[] = []
  readonly #kind: BrokerKind
  readonly #place: string
  #next: Bench | undefined
  #seq = 0
  #changed = Promise.withResolvers<void>()
  #isClosed = false

  constructor(kind: BrokerKind, place: string = mkdtempSync(join(tmpdir(), 'aftertask-contract-'))) {
    this.#kind = kind
    this.#place = place
    this.broker = kind.make(place)
  }

  async open(): Promise<void> {
    await this.broker.open(this)
  }

  async close(): Promise<void> {
    await this.#closeBroker()
    await this.#next?.close()
    rmSync(this.#place, { recursive: true, force: true })
  }

  /** Another broker over the same place, with this one closed. */
  async reopen(): Promise<Bench> {
    await this.#closeBroker()
    this.#next = new Bench(this.#kind, this.#place)
    await this.#next.open()
    return this.#next
  }

  // ── As a host ──────────────────────────────────────────────────────────────────────────────────────────────────

  wake(): void {
    this.#change()
  }

  settled(job: JobRecord): void {
    this.told.push(job)
    this.#change()
  }

  warn(): void {}

  settledLate(job: JobRecord): void {
    this.settled(job)
  }

  pendingChanged(): void {
    this.#change()
  }

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
    const entry = this.entries[names.indexOf(task)]
    if (entry === undefined) throw new Error('no such task')
    const job = new JobRecord(++this.#seq, entry, payload, priority, Math.round(this.clock.now()))
    if (given.key !== undefined) job.more.key = given.key
    if (given.unique !== undefined) job.more.uniqueKey = given.unique
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

  complete(job: JobRecord, result?: Encoded): void {
    this.broker.attempts.finish(job, {
      state: 'completed',
      ...(result !== undefined && { result }),
      attempt: this.attempt(job, 'completed'),
    })
  }

  fail(job: JobRecord): void {
    const error = new Error('no')
    this.broker.attempts.finish(job, { state: 'dead', error, attempt: this.attempt(job, 'failed', error) })
  }

  retry(job: JobRecord, delay: number): void {
    const attempt = this.attempt(job, 'failed', new Error('not yet'))
    this.broker.attempts.retry(job, this.clock.now() + delay, attempt)
  }

  /** The attempt of a job that is under way is over. */
  attempt(job: JobRecord, outcome: Attempt['outcome'], error?: Error): Attempt {
    const now = this.clock.now()
    return { number: job.attempts, outcome, started: now, ended: now, ...(error && { error }) }
  }

  idOf(job: JobRecord): string {
    return job.extras?.id ?? this.idPrefix + job.seq.toString(36)
  }

  // ── What tests wait for ────────────────────────────────────────────────────────────────────────────────────────

  /** The end of a job has been told. */
  over(job: JobRecord): Promise<void> {
    return this.#until(() => this.told.includes(job))
  }

  /** Everything that was said to the broker has had its effect. */
  async barrier(): Promise<void> {
    await this.broker.jobs.counts()
  }

  /** So many jobs are available. */
  async available(count: number): Promise<void> {
    for (;;) {
      const counts = await this.broker.jobs.counts()
      if (counts.available === count) return
      await this.#changed.promise
    }
  }

  /** Everything that was added is stored. */
  async stored(): Promise<void> {
    await this.broker.jobs.counts()
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

  async #closeBroker(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.broker.close()
  }
}
