/** One run over a file that survives: process after process, each ended by a crash or a stop, the last one drained. */
import type { DatabaseSync } from 'node:sqlite'
import { engineOf } from '../../../src/engine/runtime.ts'
import { decode, type Encoded } from '../../../src/rules/codec.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import { uniqueKeyOf } from '../model-job.ts'
import type { Behaviour, Op, Plan, ReactsTo, Spec } from '../plan.ts'
import { seeded } from '../random.ts'
import { NESTED } from '../sim-pool.ts'
import { taskRules } from '../tasks.ts'
import { Accounts, type EndedLife } from './accounts.ts'
import { DurableChecks } from './durable-checks.ts'
import { DurableHands } from './durable-hands.ts'
import { type DurableJob, DurableModel } from './durable-model.ts'
import { type Disk, JournalFiles, JournalInMemory, readJob, readJobs } from './journal-files.ts'
import { type DurableSubject, Life, type LifeHost } from './life.ts'

const MOST_EVENTS = 400_000
const START = 1_700_000_001_000.25
const RETURNS: Behaviour = { ends: 'returns', ms: 0, blocks: false, onAbort: 'ignores' }
/** Of so many runs one writes to real files, which takes twice as long. */
const ON_DISK = 16
const NOBODY: Spec = { task: 0, runs: [] }

/** The world of one run. */
export class DurableWorld {
  readonly model = new DurableModel()
  readonly #plan: Plan
  readonly #subject: DurableSubject
  readonly #disk: Disk
  readonly #random: () => number
  readonly #checks: DurableChecks
  readonly #accounts: Accounts
  readonly #hasAdded = new Set<string>()
  #life!: Life
  #hands!: DurableHands
  #lives = 0
  #events = 0
  /** By how much somebody has set the clocks of the lives before. */
  #set = 0

  constructor(plan: Plan, subject: DurableSubject) {
    this.#plan = plan
    this.#subject = subject
    const isOnDisk = plan.world.seed % ON_DISK === 0 || subject.openFile !== undefined
    this.#disk = isOnDisk ? new JournalFiles() : new JournalInMemory()
    this.#random = seeded(plan.world.seed)
    this.#checks = new DurableChecks(this.model, {
      stored: (id) => this.#look((db) => readJob(db, id)),
      canLook: () => this.#life.link.file?.db.isOpen === true,
      forgets: plan.world.retention < 1000,
    })
    this.#accounts = new Accounts(this.model, this.#checks, plan.world.retention < 1000)
    this.#begin(START)
  }

  // ── Steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Does one step and compares everything. */
  async apply(op: Op): Promise<void> {
    if (op.do === 'advance') await this.#advance(op.ms)
    else if (op.do === 'crash') await this.#crash(op.after, op.downtime)
    else this.#hands.act(op)
    await this.#turn()
    if (this.#hands.report !== undefined) this.#restart(20)
    this.#count()
  }

  /** The load is over: everything drains, and the last process stops. */
  async drain(): Promise<void> {
    const { model } = this
    if (model.isStopping) {
      await this.#until(() => this.#hands.report !== undefined, 200_000)
      model.expect(this.#hands.report !== undefined, () => 'stop() has not ended')
      this.#restart(20)
    }
    this.#hands.reactions.clear()
    for (const id of ['s', 't']) this.#hands.act({ do: 'unschedule', id })
    this.#hands.act({ do: 'resume', pool: null })
    for (const { model: batch } of this.#hands.batches)
      if (batch.end === undefined) this.#hands.settle(0, 'sent')
    // Threads that keep dying are restarted at most every 30 seconds.
    const patience = 200_000 + model.pending.size * 120_000
    // A second look, for what was under way when all seemed to be over, such as a revival.
    for (let look = 0; look < 2; look++) {
      const isDone = await this.#until(() => this.#life.isOpen && model.pending.size === 0, patience)
      if (!isDone) this.#starved()
      if (model.violation !== undefined) return
      await this.#advance(200)
    }
    if (model.pending.size > 0 && !(await this.#until(() => model.pending.size === 0, patience)))
      this.#starved()
    this.#count()
    this.#hands.promisesWereKept()
    if (model.mayRefuse) await this.#advance(model.refusesUntil - model.time())
    // All that is left is questions, which a thread that dies then would refuse.
    this.#life.link.spare()
    await this.#until(() => this.#life.isOpen, patience)
    await this.#countsAreRight()
    this.#hands.stop(1000)
    await this.#until(() => this.#hands.report !== undefined, 20_000)
    const left = this.#hands.report?.left.length
    model.expect(left === 0, () => `the last stop() leaves ${left} jobs, and all had ended`)
  }

  /** Leaves nothing behind. */
  end(): void {
    this.#hands.isOver = true
    this.#life.end()
    this.#disk.remove()
  }

  // ── Processes ──────────────────────────────────────────────────────────────────────────────────────────────────

  #begin(time: number): void {
    const { model } = this
    this.#lives++
    model.isPaused = false
    model.isStopping = false
    model.refusesUntil = 0
    model.awayUntil = 0
    this.#disk.refuses(undefined)
    model.paused.clear()
    const host = this.#host(() => this.#life === life)
    const life: Life = new Life({
      ...{ options: this.#plan.world, subject: this.#subject, host, random: this.#random, time },
      disk: this.#disk,
    })
    this.#life = life
    // True time: by how much somebody has set the clocks is left out.
    const setBefore = this.#set
    model.setBefore = setBefore
    model.time = () => life.clock.time - setBefore - life.clock.set
    this.#hands = new DurableHands(life, model, this.#checks, this.#plan)
    this.#listen(life, this.#hands)
  }

  /** The process dies after so many more events. */
  async #crash(after: number, downtime: number): Promise<void> {
    for (let event = 0; event < after; event++) {
      if (this.#life.clock.next() === Number.POSITIVE_INFINITY || this.model.violation !== undefined) break
      await this.#event()
    }
    const { time, set } = this.#life.clock
    // What was not told before the crash is not known to the next process: nothing is on time any more.
    if (set !== 0) this.model.isAdrift = true
    this.#set += set
    this.#hands.isOver = true
    // The image is taken before anything is closed, for a crash closes nothing.
    const crashed = this.#disk.crashed()
    this.#life.link.rollBack()
    this.#disk.refuses(undefined)
    const jobs = this.#look(readJobs) ?? this.#disk.closed()
    this.#life.end()
    crashed.forget()
    this.#settle(jobs, { isClean: false, wasAway: this.model.mayLoseStored })
    this.#begin(time + downtime)
  }

  /** The process has stopped, and another takes over. */
  #restart(downtime: number): void {
    const { time, set } = this.#life.clock
    if (!this.#life.hasToldSteps) this.model.isAdrift = true
    this.#set += set
    const { report } = this.#hands
    const { model } = this
    this.#hands.promisesWereKept()
    this.#hands.isOver = true
    this.#life.end()
    this.#disk.refuses(undefined)
    const jobs = this.#disk.closed()
    const lost = report?.lost ?? []
    model.expect(lost.length === 0 || model.mayRefuse, () => `stop() has lost ${lost.length} jobs`)
    for (const { id } of lost)
      model.expect(model.byId.get(id)?.over === 'lost', () => `stop() names ${id} as lost, and it is not`)
    const left = new Set(report?.left.map(({ id }) => id))
    // A journal that has died may not have been there to be asked; what one has not written is over here, and not there.
    const wasReadable = !model.mayRefuse && (left.size > 0 || this.#life.link.deaths === 0)
    // Without a journal that could be told of the stop, it was no more than a crash.
    this.#settle(jobs, { isClean: this.#life.link.hasClosed, wasAway: model.mayLoseStored })
    if (wasReadable) {
      for (const { id } of model.pending)
        model.expect(left.has(id), () => `${id} is left by stop(), and not in its report`)
    }
    this.#begin(time + downtime)
  }

  #settle(stored: ReturnType<typeof readJobs>, how: Omit<EndedLife, 'life'>): void {
    this.#accounts.settle(stored, { ...how, life: this.#lives })
    for (const { model: batch } of this.#hands.batches)
      if (batch.end === undefined) this.model.settles(batch, 'gone')
  }

  // ── Time ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #advance(ms: number): Promise<void> {
    const { clock } = this.#life
    const end = clock.now() + ms
    while (clock.next() <= end && this.model.violation === undefined) await this.#event()
    clock.moveTo(end)
    clock.turn()
  }

  async #until(isOver: () => boolean, limit: number): Promise<boolean> {
    const { clock } = this.#life
    const end = clock.now() + limit
    await this.#turn()
    while (!isOver() && this.model.violation === undefined) {
      if (clock.next() > end) return false
      await this.#event()
    }
    return true
  }

  async #event(): Promise<void> {
    const { clock } = this.#life
    clock.moveTo(clock.next())
    clock.run()
    await this.#turn()
    const { failure } = this.#life
    if (failure !== undefined) this.model.violate(`the file cannot be opened: ${String(failure)}`)
    if (++this.#events > MOST_EVENTS) this.model.violate(`nothing comes to rest: ${MOST_EVENTS} events`)
  }

  /** Ends a turn of the event loop: promises first, then what waits for its end. */
  async #turn(): Promise<void> {
    for (let turn = 0; turn < 8; turn++) await null
    this.#life.clock.turn()
    for (let turn = 0; turn < 8; turn++) await null
  }

  // ── Numbers ────────────────────────────────────────────────────────────────────────────────────────────────────

  #count(): void {
    const { model } = this
    if (!this.#life.isOpen || this.#hands.isOver || model.isStopping) return
    const { pending } = this.#life.runtime.stats()
    model.expect(
      pending === model.pending.size,
      () => `stats().pending is ${pending}, not ${model.pending.size}`,
    )
  }

  async #countsAreRight(): Promise<void> {
    const { model } = this
    const counts = await this.#ask(this.#life.runtime.counts())
    const { completed, cancelled, skipped, dead, ...rest } = counts ?? {}
    const unfinished = Object.values(rest).reduce((sum, count) => sum + count, 0)
    model.expect(unfinished === 0, () => `all have ended, and counts() says ${JSON.stringify(rest)}`)
    if (this.#plan.world.retention < 1000) return
    // While no file was open, nobody could tell which were written.
    for (const job of model.jobs) job.isUnwritten &&= this.#look((db) => readJob(db, job.id)) === undefined
    for (const [how, count] of Object.entries({ completed, cancelled, skipped, dead })) {
      const expected = model.jobs.filter(({ over, isUnwritten }) => over === how && !isUnwritten).length
      model.expect(count === expected, () => `counts().${how} is ${count}, not ${expected}`)
    }
    for (const job of model.jobs) {
      const info = await this.#ask(this.#life.runtime.job(job.id))
      const isNowhere = job.over === 'gone' || job.over === 'lost' || job.isUnwritten
      const expected = isNowhere ? undefined : job.over
      model.expect(info?.state === expected, () => `job(${job.id}) is ${info?.state}, not ${expected}`)
    }
  }

  async #ask<T>(question: Promise<T>): Promise<T | undefined> {
    let answer: T | undefined
    let isThere = false
    const rest = (): void => {
      isThere = true
    }
    question.then((value) => {
      answer = value
      rest()
    }, rest)
    await this.#until(() => isThere, 10_000)
    return answer
  }

  #starved(): void {
    const names = [...this.model.pending].slice(0, 5).map((job) => `${job.id} (${job.rules.name})`)
    const isOver = this.#life.clock.next() === Number.POSITIVE_INFINITY
    const when = isOver ? 'nothing will ever happen, but' : 'after a long while'
    this.model.violate(`${when} ${names} did not end`)
  }

  // ── The file ───────────────────────────────────────────────────────────────────────────────────────────────────

  #look<T>(read: (db: DatabaseSync) => T): T | undefined {
    const db = this.#life.link.file?.db
    return db?.isOpen ? read(db) : undefined
  }

  // ── Wiring ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #host(isAlive: () => boolean): LifeHost {
    const isOver = (): boolean => this.#hands.isOver || !isAlive()
    const jobOf = (record: JobRecord): DurableJob | undefined => {
      const job = this.model.byId.get(this.#life.runtime[engineOf].jobs.idOf(record))
      if (job === undefined) this.model.violate(`job ${record.seq}, which was never accepted, runs`)
      return job
    }
    return {
      behaviourOf: (record) => this.#behaviourOf(record),
      nests: (task) => this.#nests(task),
      sent: (_lane, records) => {
        if (!isOver()) this.#checks.sent(records.map(jobOf).filter((job) => job !== undefined))
      },
      givenBack: (record) => {
        const job = isOver() ? undefined : jobOf(record)
        if (job !== undefined) job.isSent = false
      },
      handlerStarts: (record, attempt) => {
        const job = isOver() ? undefined : jobOf(record)
        if (job !== undefined) this.#checks.handlerStarts(job, attempt)
      },
      handlerStops: (record, how) => {
        const job = isOver() ? undefined : jobOf(record)
        if (job !== undefined) this.#checks.handlerStops(job, how)
      },
      finishing: (record, state) => {
        const job = isOver() ? undefined : this.model.byId.get(this.#life.runtime[engineOf].jobs.idOf(record))
        if (job?.over === undefined && job !== undefined) job.ending ??= state
      },
    }
  }

  /** What a handler adds may find a job instead. Which one of several equal ones the broker finds first is its own. */
  #nests(task: string): void {
    const rules = taskRules.find(({ name }) => name === task)
    const key = rules === undefined ? undefined : uniqueKeyOf(rules, NOBODY)
    const id = key === undefined ? undefined : this.#life.holderOf(key)
    const holder = id === undefined ? undefined : this.model.byId.get(id)
    if (holder !== undefined && holder.over === undefined) this.model.joined(holder, undefined, 'ok')
  }

  #behaviourOf(record: JobRecord): Behaviour {
    const number = decode(record.payload as Encoded) as number
    const runs = this.#plan.specs[(number % NESTED) % this.#plan.specs.length]?.runs ?? []
    const behaviour = runs[Math.min(record.attempts, runs.length) - 1] ?? RETURNS
    if (behaviour.adds === undefined) return behaviour
    // A job adds once, and what it adds adds nothing: a plan must come to an end.
    const id = this.#life.runtime[engineOf].jobs.idOf(record)
    const adds = number >= NESTED || this.#hasAdded.has(id) ? undefined : behaviour.adds
    this.#hasAdded.add(id)
    return { ...behaviour, adds }
  }

  #listen(life: Life, hands: DurableHands): void {
    const { model } = this
    const { runtime } = life
    const checks = this.#checks
    runtime.on('job:enqueued', ({ job }) => this.#accepted(job.id, life, hands))
    const ends = (id: string, how: Parameters<DurableChecks['ended']>[1], error: Error | undefined): void => {
      if (!hands.isOver) checks.ended(id, how, error)
    }
    runtime.on('job:completed', ({ job }) => ends(job.id, 'completed', undefined))
    runtime.on('job:cancelled', ({ job, error }) => ends(job.id, 'cancelled', error))
    runtime.on('job:skipped', ({ job }) => ends(job.id, 'skipped', undefined))
    runtime.on('job:dead', ({ job, error }) => ends(job.id, 'dead', error))
    runtime.on('job:lost', ({ job, error }) => ends(job.id, 'lost', error))
    runtime.on('job:retrying', ({ job, error, delay }) => {
      if (!hands.isOver) checks.retrying(job.id, error, delay)
    })
    runtime.on('job:interrupted', ({ job }) => {
      if (!hands.isOver) checks.interrupted(job.id)
    })
    const names: ReactsTo[] = ['job:enqueued', 'job:started', 'job:completed', 'job:retrying', 'job:dead']
    const more: ReactsTo[] = ['job:cancelled', 'job:skipped', 'job:interrupted', 'thread:exited']
    for (const name of [...names, ...more]) {
      runtime.on(name, () => {
        const op = hands.isOver ? undefined : hands.reactions.get(name)?.shift()
        if (op === undefined) return
        const wasReacting = model.isReacting
        model.isReacting = true
        try {
          hands.act(op)
        } catch (error) {
          model.violate(`${op.do} in a listener of ${name} threw ${String(error)}`)
        }
        model.isReacting = wasReacting
      })
    }
  }

  #accepted(id: string, life: Life, hands: DurableHands): void {
    const { model } = this
    const record = life.recordOf(id)
    if (record === undefined || hands.isOver) return
    const number = decode(record.payload as Encoded) as number
    const rules = taskRules[record.entry.index] as (typeof taskRules)[number]
    const isNested = number >= NESTED
    const { uniqueKey } = record.extras ?? {}
    // What a schedule adds has a payload and no options; its time is its unique key.
    const isScheduled = uniqueKey?.includes(':schedule ') === true
    const isOurs = !(isNested || isScheduled)
    const spec = isOurs ? (this.#plan.specs[number % this.#plan.specs.length] as Spec) : NOBODY
    const { batch, call, controller } = isOurs ? hands.adding : { call: -model.jobs.length }
    const holder = uniqueKey === undefined ? undefined : model.holderOf(uniqueKey)
    // A key that is held beyond the end of its job is kept for as long as that job is.
    const isForgotten = this.#plan.world.retention < 1000 && holder?.life !== this.#lives
    const mayBeEqual = !life.isOpen || model.isReacting || isForgotten
    model.expect(
      holder === undefined || mayBeEqual,
      () => `${id} was accepted although ${holder?.id} holds ${uniqueKey}`,
    )
    if (isScheduled) this.#checks.ranOnce(id, uniqueKey)
    const { seq } = record
    const job = model.accepted(id, {
      rules,
      spec,
      batch,
      life: this.#lives,
      seq,
      call,
      uniqueKey,
      isScheduled,
    })
    job.mayBeDuplicate = uniqueKey !== undefined && mayBeEqual
    if (controller !== undefined) hands.aborts.set(job, controller)
  }
}
