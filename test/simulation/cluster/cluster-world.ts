/** One run of several processes over a store that they share: in true time, which none of their clocks shows. */
import { locksOf } from '../../../src/brokers/bullmq/store/shared-store.ts'
import type { Op, Plan } from '../plan.ts'
import { ClusterChecks } from './cluster-checks.ts'
import type { ClusterHands } from './cluster-hands.ts'
import type { ClusterJob } from './cluster-model.ts'
import { ProcessesWorld } from './processes-world.ts'
import { type ClusterSubject, LEASE, SimProcess } from './sim-process.ts'
import { SimServer } from './sim-server.ts'

/** A held job comes forward so long after its process has died. */
const HOLD = 60_000
/** A write that the store does not have yet is tried again so often at least. */
const LONGEST_WAIT = 1000
/** Three attempts that end their thread, and the waits of a task whose jobs keep doing so. */
const LONGEST_JOB = 120_000
/** So long after the first refusal a process has lost its patience: with looks in between, and answers on their way. */
const UNTIL_TOLD = 1500
/** The world of one run. */
export class ClusterWorld extends ProcessesWorld<SimProcess> {
  readonly server: SimServer
  protected readonly checks: ClusterChecks
  protected readonly shared = 'store'
  protected readonly longestStill = LEASE / 4

  constructor(plan: Plan, subject: ClusterSubject) {
    super(plan)
    this.server = new SimServer(this.clock, { lease: LEASE, retention: { count: plan.world.retention } })
    this.checks = new ClusterChecks(this.model, {
      process: (number) => this.all[number]?.process,
      ownerOf: (id) => this.#ownerOf(id),
      holder: (token) => this.#holder(token),
      now: () => this.clock.now(),
      outage: () => ({ ...this.server.outage, forgotAt: this.server.forgotAt }),
    })
    this.server.store.witness = this.checks
    subject.tamper?.(this.server)
    const { processes = 2 } = plan.world
    for (let place = 0; place < processes; place++) this.begin(place)
  }

  // ── Steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Does one step and compares everything. */
  async apply(op: Op): Promise<void> {
    switch (op.do) {
      case 'advance':
        await this.advance(op.ms)
        break
      case 'in':
        this.in(op.process, op.does)
        break
      case 'kill':
        await this.kill(op.process, op.after, op.downtime)
        break
      case 'freeze':
        this.freeze(op.process, op.ms)
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
    await this.turn()
    this.#refusalIsTold()
    this.replaceStopped()
  }

  /** A process that is well counts a store as down which has refused all writes for longer than its patience. */
  #refusalIsTold(): void {
    const { server, model } = this
    if (!server.isRefusing || server.isAway) return
    for (const { process, isStopping } of this.hands) {
      const isWell = !(process.isGone || process.isFrozen || isStopping) && process.client.isConnected
      const heardSince = Math.max(
        server.refusesSince,
        process.born + LEASE,
        process.frozenUntil,
        process.troubledUntil,
      )
      if (!isWell || this.clock.now() - heardSince < UNTIL_TOLD) continue
      const state = process.broker.stats().state
      model.expect(
        state === 'down',
        () => `process ${process.number} calls a store ${state} that refuses writes`,
      )
    }
  }

  #cut(which: number, ms: number): void {
    const { process } = this.at(which)
    process.client.cutFor(ms)
    if (ms > LEASE / 4) process.troubledUntil = Math.max(process.troubledUntil, this.clock.now() + ms)
  }

  #deny(which: number, ms: number): void {
    const { process } = this.at(which)
    process.client.denyFor(ms)
    if (ms > LEASE / 4) process.troubledUntil = Math.max(process.troubledUntil, this.clock.now() + ms)
  }

  #trouble(what: Extract<Op, { do: 'store' }>['what'], ms: number): void {
    if (what === 'hangs') this.server.hang(ms)
    else if (what === 'refuses writes') this.server.refuse(ms)
    else if (what === 'loses messages') this.server.deafUntil = this.clock.now() + ms
    else this.server.restart(ms, what === 'forgets leases')
  }

  // ── Processes ──────────────────────────────────────────────────────────────────────────────────────────────────

  protected make(number: number): SimProcess {
    return new SimProcess({
      ...{ number, server: this.server, world: this.plan.world, random: this.random },
      host: (made) => this.hostOf(made),
    })
  }

  protected isHeld(id: string): boolean {
    return this.server.dataOf(id).held === true
  }

  protected ran({ number, failure }: SimProcess): void {
    if (failure !== undefined && this.all[number]?.isStopping !== true)
      this.model.violate(`the broker cannot be opened: ${String(failure)}`)
  }

  protected override stopped(hands: ClusterHands): void {
    super.stopped(hands)
    const lost = new Set(hands.report?.lost.map(({ id }) => id))
    for (const { id, isStored } of this.model.jobs) {
      if (isStored) this.model.expect(!lost.has(id), () => `stop() reports ${id} as lost, which was stored`)
    }
  }

  // ── The end of a run ───────────────────────────────────────────────────────────────────────────────────────────

  /** The load is over: everything drains, and the processes stop. */
  async drain(): Promise<void> {
    const { model } = this
    await this.#recover()
    const isHeld = model.jobs.some(({ isOver, batch }) => !isOver && batch?.end === 'gone')
    const patience = 60_000 + model.jobs.length * LONGEST_JOB + (isHeld ? 2 * HOLD : 0)
    await this.rest(patience, 3, 100)
    if (model.violation !== undefined) return
    this.#locksAreFree()
    await this.#countsAreRight()
    await this.close()
  }

  /** Whatever was in trouble is well again, and nobody adds anything any more. */
  async #recover(): Promise<void> {
    const { model } = this
    this.server.recover()
    this.server.refusesUntil = 0
    this.server.deafUntil = 0
    for (const { process } of this.hands) process.client.unblock()
    const isWell = ({ process }: ClusterHands): boolean =>
      !(process.isFrozen || process.isGone) &&
      process.client.isConnected &&
      process.broker.stats().state === 'up'
    await this.until(() => this.hands.every(isWell), 20_000)
    if (model.hasSchedules) await this.#schedulesAreWritten()
    this.settleDown(({ process, isStopping }) => !(process.isGone || isStopping))
  }

  /**
   * What was scheduled while the store was away is in the store, and somebody is there to take it away: of two processes
   * that call at once, the one whose call comes last has the last word.
   */
  async #schedulesAreWritten(): Promise<void> {
    await this.until(() => this.hands.some((hands) => !(hands.process.isGone || hands.isStopping)), 20_000)
    await this.until(() => false, 2 * LONGEST_WAIT)
  }

  #locksAreFree(): void {
    for (const [name, { members }] of this.server.store.locks) {
      for (const { member } of members) {
        const job = this.model.byId.get(member.slice(member.indexOf('|') + 1))
        // One whose process died between the two steps of adding it is taken out after a while.
        const isOrphan = job !== undefined && this.all[job.process]?.process.isGone === true
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
    for (const { process } of this.hands) {
      const counts = await this.ask(process.runtime.counts())
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

  /** Leaves nothing behind. */
  end(): void {
    for (const { process } of this.all) process.end()
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
    for (const { process } of this.all) if (token.startsWith(process.prefix)) return process
    return undefined
  }
}
