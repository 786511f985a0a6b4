/** One run of several processes over a store that they share: in true time, which none of their clocks shows. */
import { locksOf } from '../../../src/brokers/bullmq/store/shared-store.ts'
import { decode, type Encoded } from '../../../src/rules/codec.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import type { Behaviour, Op, Plan, ReactsTo } from '../plan.ts'
import { seeded } from '../random.ts'
import { NESTED } from '../sim-pool.ts'
import { VirtualClock } from '../virtual-clock.ts'
import { ClusterChecks } from './cluster-checks.ts'
import { ClusterHands } from './cluster-hands.ts'
import { type ClusterJob, ClusterModel } from './cluster-model.ts'
import { type ClusterSubject, LEASE, type ProcessHost, SimProcess } from './sim-process.ts'
import { SimServer } from './sim-server.ts'

const MOST_EVENTS = 400_000
const RETURNS: Behaviour = { ends: 'returns', ms: 0, blocks: false, onAbort: 'ignores' }
const START = 1_700_000_000_000
/** A held job comes forward so long after its process has died. */
const HOLD = 60_000
/** A write that the store does not have yet is tried again so often at least. */
const LONGEST_WAIT = 1000
/** Three attempts that end their thread, and the waits of a task whose jobs keep doing so. */
const LONGEST_JOB = 120_000
/** So long after the first refusal a process has lost its patience: with looks in between, and answers on their way. */
const UNTIL_TOLD = 1500
const EVENTS: readonly ReactsTo[] = [
  ...(['job:enqueued', 'job:started', 'job:completed', 'job:retrying', 'job:dead'] as const),
  ...(['job:cancelled', 'job:skipped', 'job:interrupted', 'thread:exited'] as const),
]

/** The world of one run. */
export class ClusterWorld {
  readonly model = new ClusterModel()
  readonly server: SimServer
  events = 0
  readonly #plan: Plan
  readonly #random: () => number
  readonly #checks: ClusterChecks
  readonly #clock = new VirtualClock(0, START)
  /** Of each number, the process that is there now. */
  readonly #hands: ClusterHands[] = []
  readonly #all = new Map<number, ClusterHands>()
  readonly #hasAdded = new Set<string>()
  #processes = 0

  constructor(plan: Plan, subject: ClusterSubject) {
    this.#plan = plan
    this.#random = seeded(plan.world.seed)
    this.server = new SimServer(this.#clock, { lease: LEASE, retention: { count: plan.world.retention } })
    this.model.time = () => this.#clock.now()
    this.#checks = new ClusterChecks(this.model, {
      process: (number) => this.#all.get(number)?.process,
      ownerOf: (id) => this.#ownerOf(id),
      holder: (token) => this.#holder(token),
      now: () => this.#clock.now(),
      outage: () => ({ ...this.server.outage, forgotAt: this.server.forgotAt }),
    })
    this.server.store.witness = this.#checks
    subject.tamper?.(this.server)
    const { processes = 2 } = plan.world
    for (let place = 0; place < processes; place++) this.#begin(place)
  }

  // ── Steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Does one step and compares everything. */
  async apply(op: Op): Promise<void> {
    switch (op.do) {
      case 'advance':
        await this.#advance(op.ms)
        break
      case 'in':
        this.#in(op.process, op.does)
        break
      case 'kill':
        await this.#kill(op.process, op.after, op.downtime)
        break
      case 'freeze':
        this.#freeze(op.process, op.ms)
        break
      case 'cut':
        this.#cut(op.process, op.ms)
        break
      case 'deny':
        this.#deny(op.process, op.ms)
        break
      case 'store':
        this.#trouble(op.what, op.ms)
        break
    }
    await this.#turn()
    this.#refusalIsTold()
    this.#replaceStopped()
  }

  /** A process that is well counts a store as down which has refused all writes for longer than its patience. */
  #refusalIsTold(): void {
    const { server, model } = this
    if (!server.isRefusing || server.isAway) return
    for (const { process, isStopping } of this.#hands) {
      const isWell = !(process.isGone || process.isFrozen || isStopping) && process.client.isConnected
      const heardSince = Math.max(
        server.refusesSince,
        process.born + LEASE,
        process.frozenUntil,
        process.troubledUntil,
      )
      if (!isWell || this.#clock.now() - heardSince < UNTIL_TOLD) continue
      const state = process.broker.stats().state
      model.expect(
        state === 'down',
        () => `process ${process.number} calls a store ${state} that refuses writes`,
      )
    }
  }

  #in(which: number, op: Op): void {
    const hands = this.#hands[which % this.#hands.length] as ClusterHands
    // What stands still does nothing, and who stops is asked for nothing more.
    if (hands.process.isFrozen || hands.process.isGone) return
    hands.process.keepUp()
    hands.act(op)
  }

  async #kill(which: number, after: number, downtime: number): Promise<void> {
    for (let event = 0; event < after && this.model.violation === undefined; event++) await this.#event()
    const place = which % this.#hands.length
    const hands = this.#hands[place] as ClusterHands
    if (hands.process.isGone) return
    this.#end(hands)
    this.#clock.at(this.#clock.now() + downtime, () => this.#begin(place))
  }

  #freeze(which: number, ms: number): void {
    const { process } = this.#hands[which % this.#hands.length] as ClusterHands
    process.frozenUntil = Math.max(process.frozenUntil, this.#clock.now() + ms)
    if (ms > LEASE / 4) process.troubledUntil = process.frozenUntil
  }

  #cut(which: number, ms: number): void {
    const { process } = this.#hands[which % this.#hands.length] as ClusterHands
    process.client.cutFor(ms)
    if (ms > LEASE / 4) process.troubledUntil = Math.max(process.troubledUntil, this.#clock.now() + ms)
  }

  #deny(which: number, ms: number): void {
    const { process } = this.#hands[which % this.#hands.length] as ClusterHands
    process.client.denyFor(ms)
    if (ms > LEASE / 4) process.troubledUntil = Math.max(process.troubledUntil, this.#clock.now() + ms)
  }

  #trouble(what: Extract<Op, { do: 'store' }>['what'], ms: number): void {
    if (what === 'hangs') this.server.hang(ms)
    else if (what === 'refuses writes') this.server.refuse(ms)
    else if (what === 'loses messages') this.server.deafUntil = this.#clock.now() + ms
    else this.server.restart(ms, what === 'forgets leases')
  }

  // ── Processes ──────────────────────────────────────────────────────────────────────────────────────────────────

  #begin(place: number): void {
    const process = new SimProcess({
      ...{ number: this.#processes++, server: this.server, world: this.#plan.world, random: this.#random },
      host: (made) => this.#host(made),
    })
    const hands = new ClusterHands(process, this.model, this.#plan, () => this.#clock.now())
    this.#hands[place] = hands
    this.#all.set(process.number, hands)
    this.#listen(hands)
  }

  /** The process is gone, and with it what it had not stored. */
  #end({ process, batches }: ClusterHands): void {
    process.end()
    for (const { model: batch } of batches) batch.end ??= 'gone'
    for (const job of this.model.jobs) {
      for (const run of job.runs) if (run.process === process.number) run.how ??= 'died'
      if (job.process !== process.number || job.isOver) continue
      if (job.isThere) {
        job.isOrphan = this.server.dataOf(job.id).held === true
        continue
      }
      this.model.expect(!job.isStored, () => `${job.id} was stored, and the store does not have it`)
      // What it sent last may still arrive.
      job.ends.push('lost')
      job.isOver = true
    }
  }

  #replaceStopped(): void {
    for (const [place, hands] of this.#hands.entries()) {
      if (hands.report === undefined || hands.process.isGone) continue
      this.#stopped(hands)
      this.#clock.at(this.#clock.now() + 20, () => this.#begin(place))
    }
  }

  #stopped(hands: ClusterHands): void {
    const { process, report } = hands
    const lost = new Set(report?.lost.map(({ id }) => id))
    for (const job of this.model.jobs) {
      if (job.process === process.number && !job.isThere && !job.isOver)
        this.model.violate(`${job.id} is neither stored nor over after stop()`)
      else if (job.isStored)
        this.model.expect(!lost.has(job.id), () => `stop() reports ${job.id} as lost, which was stored`)
    }
    this.#end(hands)
  }

  // ── Time ───────────────────────────────────────────────────────────────────────────────────────────────────────

  async #advance(ms: number): Promise<void> {
    const end = this.#clock.now() + ms
    while (this.model.violation === undefined && this.#next().at <= end) await this.#event()
    this.#clock.moveTo(end)
  }

  async #until(isOver: () => boolean, limit: number): Promise<boolean> {
    const end = this.#clock.now() + limit
    await this.#turn()
    while (!isOver() && this.model.violation === undefined) {
      if (this.#next().at > end) return false
      await this.#event()
      this.#replaceStopped()
    }
    return true
  }

  /** Where something happens next: at the server, or in a process. */
  #next(): { at: number; process: SimProcess | undefined } {
    let at = this.#clock.next()
    let process: SimProcess | undefined
    for (const hands of this.#hands) {
      const next = hands.process.next()
      if (next >= at) continue
      at = next
      process = hands.process
    }
    return { at, process }
  }

  async #event(): Promise<void> {
    const { at, process } = this.#next()
    if (at === Number.POSITIVE_INFINITY) return
    this.#clock.moveTo(at)
    if (++this.events > MOST_EVENTS) this.model.violate(`nothing comes to rest: ${MOST_EVENTS} events`)
    // What the server does becomes known to a process when an answer comes.
    if (process === undefined) return void this.#clock.run()
    process.keepUp(process.clock.next())
    process.clock.run()
    const isStopping = this.#all.get(process.number)?.isStopping === true
    if (process.failure !== undefined && !isStopping)
      this.model.violate(`the broker cannot be opened: ${String(process.failure)}`)
    await this.#turn()
  }

  /** Ends a turn of the event loop: promises first, then what waits for its end. */
  async #turn(): Promise<void> {
    await promises()
    for (;;) {
      const soon = this.#hands.find(
        ({ process }) => process.clock.hasSoon && !process.isGone && !process.isFrozen,
      )
      if (soon === undefined) return
      soon.process.clock.turn()
      await promises()
    }
  }

  // ── The end of a run ───────────────────────────────────────────────────────────────────────────────────────────

  /** The load is over: everything drains, and the processes stop. */
  async drain(): Promise<void> {
    const { model } = this
    await this.#recover()
    const isHeld = model.jobs.some(({ isOver, batch }) => !isOver && batch?.end === 'gone')
    const patience = 60_000 + model.jobs.length * LONGEST_JOB + (isHeld ? 2 * HOLD : 0)
    // Further looks, for what was under way when all seemed to be over, such as a revival.
    for (let look = 0; look < 3; look++) {
      if (!(await this.#until(() => this.#isAtRest(), patience))) this.#starved()
      if (model.violation !== undefined) return
      await this.#advance(100)
    }
    this.#locksAreFree()
    await this.#countsAreRight()
    for (const hands of this.#hands) hands.promisesWereKept()
    await this.#stopAll()
  }

  /** Whatever was in trouble is well again, and nobody adds anything any more. */
  async #recover(): Promise<void> {
    const { model } = this
    this.server.recover()
    this.server.refusesUntil = 0
    this.server.deafUntil = 0
    for (const { process } of this.#hands) process.client.unblock()
    const isWell = ({ process }: ClusterHands): boolean =>
      !(process.isFrozen || process.isGone) &&
      process.client.isConnected &&
      process.broker.stats().state === 'up'
    await this.#until(() => this.#hands.every(isWell), 20_000)
    if (model.hasSchedules) await this.#schedulesAreWritten()
    for (const hands of this.#hands) {
      hands.reactions.clear()
      if (hands.process.isGone || hands.isStopping) continue
      hands.process.keepUp()
      hands.act({ do: 'resume', pool: null })
      for (const { model: batch } of hands.batches) if (batch.end === undefined) hands.settle(0, 'sent')
      for (const id of ['s', 't']) hands.act({ do: 'unschedule', id })
    }
  }

  /**
   * What was scheduled while the store was away is in the store, and somebody is there to take it away: of two processes
   * that call at once, the one whose call comes last has the last word.
   */
  async #schedulesAreWritten(): Promise<void> {
    await this.#until(() => this.#hands.some((hands) => !(hands.process.isGone || hands.isStopping)), 20_000)
    await this.#until(() => false, 2 * LONGEST_WAIT)
  }

  async #stopAll(): Promise<void> {
    const last = [...this.#hands]
    for (const hands of last) hands.stop(1000)
    await this.#until(() => last.every(({ report }) => report !== undefined), 20_000)
    for (const { report } of last) {
      const left = (report?.left.length ?? 0) + (report?.lost.length ?? 0)
      this.model.expect(report !== undefined, () => 'a stop() has not ended')
      this.model.expect(left === 0, () => `the last stop() leaves ${left} jobs, and all had ended`)
    }
  }

  #isAtRest(): boolean {
    const isReady = this.#hands.every(
      ({ process, pending, isStopping }) => !(process.isGone || isStopping) && pending === 0,
    )
    return isReady && this.model.jobs.every(({ isOver }) => isOver)
  }

  #starved(): void {
    const { model } = this
    const names = model.jobs.filter(({ isOver }) => !isOver).map((job) => `${job.id} (${job.rules.name})`)
    const pending = this.#hands.map((hands) => hands.pending).join(', ')
    model.violate(
      `after a long while ${names.slice(0, 5).join(', ') || 'nothing'} did not end; ${pending} are pending`,
    )
  }

  #locksAreFree(): void {
    for (const [name, { members }] of this.server.store.locks) {
      for (const { member } of members) {
        const job = this.model.byId.get(member.slice(member.indexOf('|') + 1))
        // One whose process died between the two steps of adding it is taken out after a while.
        const isOrphan = job !== undefined && this.#all.get(job.process)?.process.isGone === true
        // So is one that knew of no lock when it was written: its process would have taken it out.
        const knewOfNone = job?.isThere === true && !locksOf(this.server.dataOf(job.id)).includes(name)
        this.model.expect(
          isOrphan && (!job.isThere || knewOfNone),
          () => `${member} is in lock ${name}, and all are over`,
        )
      }
    }
  }

  async #countsAreRight(): Promise<void> {
    const { model } = this
    for (const { process } of this.#hands) {
      const counts = await this.#ask(process.runtime.counts())
      const { completed, cancelled, skipped, dead, ...rest } = counts ?? {}
      const unfinished = Object.values(rest).reduce((sum, count) => sum + count, 0)
      model.expect(
        counts !== undefined && unfinished === 0,
        () => `all have ended, and counts() says ${JSON.stringify(counts)}`,
      )
      for (const [how, count] of Object.entries({ completed, cancelled, skipped, dead })) {
        const isCounted = (job: ClusterJob): boolean =>
          job.ends.at(-1) === how && (job.isThere || job.process === process.number)
        const expected = model.jobs.filter(isCounted).length
        model.expect(
          count === expected,
          () => `counts().${how} of ${process.number} is ${count}, not ${expected}`,
        )
      }
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

  /** Leaves nothing behind. */
  end(): void {
    for (const { process } of this.#all.values()) process.end()
  }

  // ── Wiring ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #ownerOf(id: string): SimProcess | undefined {
    for (const queue of this.server.store.queues.values()) {
      const job = queue.jobs.get(id)
      if (job !== undefined) return job.where === 'active' ? this.#holder(job.token) : undefined
    }
    return undefined
  }

  #holder(token: string): SimProcess | undefined {
    for (const { process } of this.#all.values()) if (token.startsWith(process.prefix)) return process
    return undefined
  }

  #host(process: SimProcess): ProcessHost {
    const jobOf = (record: JobRecord): ClusterJob | undefined => {
      if (process.isGone) return undefined
      const job = this.model.byId.get(process.idOf(record))
      if (job === undefined) this.model.violate(`job ${record.seq}, which was never accepted, runs`)
      return job
    }
    return {
      behaviourOf: (record) => this.#behaviourOf(process.idOf(record), record),
      nests: (task) => this.#all.get(process.number)?.nests(task),
      sent: () => {},
      givenBack: () => {},
      handlerStarts: (record, attempt) => {
        const job = jobOf(record)
        if (job !== undefined) this.#checks.handlerStarts(job, process, attempt)
      },
      handlerStops: (record, how) => {
        const job = jobOf(record)
        if (job !== undefined) this.#checks.handlerStops(job, process, how)
      },
    }
  }

  #behaviourOf(id: string, record: JobRecord): Behaviour {
    const number = decode(record.payload as Encoded) as number
    const runs = this.#plan.specs[(number % NESTED) % this.#plan.specs.length]?.runs ?? []
    const behaviour = runs[Math.min(record.attempts, runs.length) - 1] ?? RETURNS
    if (behaviour.adds === undefined) return behaviour
    // A job adds once, and what it adds adds nothing: a plan must come to an end.
    const adds = number >= NESTED || this.#hasAdded.has(id) ? undefined : behaviour.adds
    this.#hasAdded.add(id)
    return { ...behaviour, adds }
  }

  #listen(hands: ClusterHands): void {
    const { process } = hands
    const { runtime } = process
    const checks = this.#checks
    runtime.on('job:enqueued', ({ job }) => hands.accepted(job.id))
    for (const how of ['completed', 'cancelled', 'skipped', 'dead', 'lost'] as const) {
      runtime.on(`job:${how}`, ({ job }) => {
        if (!process.isGone) checks.told(job.id, process, how)
      })
    }
    runtime.on('job:retrying', ({ job, delay }) => {
      if (!process.isGone) checks.retrying(job.id, process, delay)
    })
    for (const name of EVENTS) runtime.on(name, () => hands.reactTo(name))
  }
}

/** Lets promises do what they have to do: whatever is ready by now runs before a tick that was asked for by them. */
function promises(): Promise<void> {
  return new Promise((resolve) => void globalThis.process.nextTick(resolve))
}
