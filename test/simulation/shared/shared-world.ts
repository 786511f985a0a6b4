/** One run of several processes over one journal that they share, in true time. */
import { ClusterChecks } from '../cluster/cluster-checks.ts'
import type { ClusterHands } from '../cluster/cluster-hands.ts'
import { ProcessesWorld } from '../cluster/processes-world.ts'
import { JournalFiles } from '../durable/journal-files.ts'
import type { DurableSubject } from '../durable/life.ts'
import type { Op, Plan } from '../plan.ts'
import { type Row, SharedFile } from './shared-file.ts'
import { SharedProcess } from './shared-process.ts'

/** Whoever stands still for so long counts as dead. */
const SILENCE = 25_000
/** The world of one run. */
export class SharedWorld extends ProcessesWorld<SharedProcess> {
  protected readonly checks: ClusterChecks
  protected readonly shared = 'file'
  protected readonly longestStill = SILENCE
  readonly #subject: DurableSubject
  readonly #disk = new JournalFiles()
  readonly #file: SharedFile

  constructor(plan: Plan, subject: DurableSubject) {
    super(plan)
    this.#subject = subject
    this.checks = new ClusterChecks(this.model, {
      process: (number) => this.all[number]?.process,
      ownerOf: (id) => this.#holder(this.#file.get(id)?.owner ?? 'nobody'),
      holder: (token) => this.#holder(token),
      now: () => this.clock.now(),
      outage: () => ({ since: 0, until: 0, forgotAt: Number.NEGATIVE_INFINITY }),
    })
    this.#file = new SharedFile(this.#disk.path, {
      arrived: ({ id, isTwin }) => {
        this.checks.arrived(id)
        // It keeps nobody of its batch waiting.
        if (isTwin) this.checks.duplicate(id)
      },
      ended: (row, owner) => this.#ended(row, owner),
      revived: ({ id }) => this.checks.revived(id),
      moved: (row, from) => this.#moved(row, from),
    })
    const { processes = 2 } = plan.world
    for (let place = 0; place < processes; place++) this.begin(place)
  }

  // ── The file ───────────────────────────────────────────────────────────────────────────────────────────────────

  #ended(row: Row, owner: string | undefined): void {
    const { id, state } = row
    const job = this.model.byId.get(id)
    if (job === undefined) return this.model.violate(`${id}, which was never accepted, is ${state}`)
    // It never runs, and ends as the one that it is equal to.
    const isTwin =
      job.uniqueKey !== undefined &&
      job.runs.length === 0 &&
      this.model.jobs.some(
        (one) => one !== job && one.uniqueKey === job.uniqueKey && one.ends.includes(state),
      )
    if (isTwin) return this.model.ended(job, state)
    // Whoever takes over from a process that is gone may end what it ran.
    const had = owner === undefined ? undefined : this.#holder(owner)
    if (owner !== undefined && had !== undefined && this.#isAway(had))
      this.checks.reclaimed(id, owner, 'another')
    // What it was sent with may have been granted and ended in one commit.
    const ran = job.runs.at(-1)
    const token = owner ?? (ran === undefined ? undefined : this.all[ran.process]?.process.prefix)
    this.checks.ended(id, state, token)
  }

  #moved({ id, state }: Row, from: string): void {
    const job = this.model.byId.get(id)
    const owner = this.#holder(from)
    if (job === undefined || owner === undefined) return
    const isAway = this.#isAway(owner)
    const isRunning = job.runs.some(({ process, how }) => process === owner.number && how === undefined)
    if (isAway && state !== 'held' && job.batch?.end === undefined) job.isOrphan = true
    if (isAway || isRunning) this.checks.reclaimed(id, from, 'another')
  }

  #isAway({ isGone, isFrozen, troubledUntil }: SharedProcess): boolean {
    return isGone || isFrozen || this.clock.now() - troubledUntil < SILENCE
  }

  #holder(prefix: string): SharedProcess | undefined {
    return this.all.find(({ process }) => process.prefix === prefix)?.process
  }

  // ── Steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Does one step and compares everything. */
  async apply(op: Op): Promise<void> {
    if (op.do === 'advance') await this.advance(op.ms)
    else if (op.do === 'in') this.in(op.process, op.does)
    else if (op.do === 'kill') await this.#kill(op.process, op.after, op.downtime)
    else if (op.do === 'freeze') this.freeze(op.process, op.ms)
    await this.turn()
    this.replaceStopped()
  }

  async #kill(which: number, after: number, downtime: number): Promise<void> {
    const killed = await this.kill(which, after, downtime)
    if (killed !== undefined) this.#file.died(killed.prefix)
  }

  // ── Processes ──────────────────────────────────────────────────────────────────────────────────────────────────

  protected make(number: number): SharedProcess {
    const parts = {
      ...{ options: this.plan.world, subject: this.#subject, random: this.random, disk: this.#disk },
      time: this.clock.time,
    }
    return new SharedProcess(
      number,
      () => this.clock.now(),
      parts,
      (made) => ({ ...this.hostOf(made), finishing: () => {} }),
    )
  }

  protected isHeld(id: string): boolean {
    return this.#file.get(id)?.state === 'held'
  }

  protected ran({ life: { failure } }: SharedProcess): void {
    this.#file.look()
    if (failure !== undefined) this.model.violate(`the file cannot be opened: ${String(failure)}`)
  }

  protected override gone(): void {
    this.#file.look()
  }

  // ── The end of a run ───────────────────────────────────────────────────────────────────────────────────────────

  /** The load is over: everything drains, and the processes stop. */
  async drain(): Promise<void> {
    const { model } = this
    const isReady = ({ process, isStopping }: ClusterHands<SharedProcess>): boolean =>
      !(process.isFrozen || process.isGone || isStopping) && process.life.isOpen
    await this.until(() => this.hands.every(isReady), 60_000)
    this.settleDown(isReady)
    await this.rest(200_000 + model.jobs.length * 10_000, 2, 300)
    if (model.violation !== undefined) return
    await this.#countsAreRight()
    await this.close()
  }

  async #countsAreRight(): Promise<void> {
    const { model } = this
    for (const { process } of this.hands) {
      const counts: Record<string, number> | undefined = await this.ask(process.runtime.counts())
      for (const how of ['completed', 'cancelled', 'skipped', 'dead']) {
        const expected = model.jobs.filter((job) => job.isThere && job.ends.at(-1) === how).length
        const count = counts?.[how]
        model.expect(
          count === expected,
          () => `counts().${how} of ${process.number} is ${count}, not ${expected}`,
        )
      }
    }
  }

  /** Leaves nothing behind. */
  end(): void {
    for (const { process } of this.all) if (!process.isGone) process.end()
    this.#file.close()
    this.#disk.remove()
  }
}
