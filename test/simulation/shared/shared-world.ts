/** One run of several processes over one journal that they share, in true time. */
import { decode, type Encoded } from '../../../src/rules/codec.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import { ClusterChecks } from '../cluster/cluster-checks.ts'
import { ClusterHands } from '../cluster/cluster-hands.ts'
import { type ClusterJob, ClusterModel } from '../cluster/cluster-model.ts'
import { JournalFiles } from '../durable/journal-files.ts'
import type { DurableSubject, LifeHost } from '../durable/life.ts'
import type { Behaviour, Op, Plan, ReactsTo } from '../plan.ts'
import { seeded } from '../random.ts'
import { NESTED } from '../sim-pool.ts'
import { VirtualClock } from '../virtual-clock.ts'
import { type Row, SharedFile } from './shared-file.ts'
import { SharedProcess } from './shared-process.ts'

const MOST_EVENTS = 400_000
const START = 1_700_000_000_000
const RETURNS: Behaviour = { ends: 'returns', ms: 0, blocks: false, onAbort: 'ignores' }
/** Whoever stands still for so long counts as dead. */
const SILENCE = 25_000
const EVENTS: readonly ReactsTo[] = [
  ...(['job:enqueued', 'job:started', 'job:completed', 'job:retrying', 'job:dead'] as const),
  ...(['job:cancelled', 'job:skipped', 'job:interrupted', 'thread:exited'] as const),
]

type Hands = ClusterHands<SharedProcess>

/** The world of one run. */
export class SharedWorld {
  readonly model = new ClusterModel()
  readonly #plan: Plan
  readonly #subject: DurableSubject
  readonly #random: () => number
  readonly #clock = new VirtualClock(0, START)
  readonly #disk = new JournalFiles()
  readonly #file: SharedFile
  readonly #checks: ClusterChecks
  /** Of each number, the process that is there now. */
  readonly #hands: Hands[] = []
  readonly #all: Hands[] = []
  readonly #hasAdded = new Set<string>()
  #events = 0

  constructor(plan: Plan, subject: DurableSubject) {
    this.#plan = plan
    this.#subject = subject
    this.#random = seeded(plan.world.seed)
    this.model.time = () => this.#clock.now()
    this.#checks = new ClusterChecks(this.model, {
      process: (number) => this.#all[number]?.process,
      ownerOf: (id) => this.#holder(this.#file.get(id)?.owner ?? 'nobody'),
      holder: (token) => this.#holder(token),
      now: () => this.#clock.now(),
      outage: () => ({ since: 0, until: 0, forgotAt: Number.NEGATIVE_INFINITY }),
    })
    this.#file = new SharedFile(this.#disk.path, {
      arrived: ({ id, isTwin }) => {
        this.#checks.arrived(id)
        // It keeps nobody of its batch waiting.
        if (isTwin) this.#checks.duplicate(id)
      },
      ended: (row, owner) => this.#ended(row, owner),
      revived: ({ id }) => this.#checks.revived(id),
      moved: (row, from) => this.#moved(row, from),
    })
    const { processes = 2 } = plan.world
    for (let place = 0; place < processes; place++) this.#begin(place)
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
      this.#checks.reclaimed(id, owner, 'another')
    // What it was sent with may have been granted and ended in one commit.
    const ran = job.runs.at(-1)
    const token = owner ?? (ran === undefined ? undefined : this.#all[ran.process]?.process.prefix)
    this.#checks.ended(id, state, token)
  }

  #moved({ id, state }: Row, from: string): void {
    const job = this.model.byId.get(id)
    const owner = this.#holder(from)
    if (job === undefined || owner === undefined) return
    const isAway = this.#isAway(owner)
    const isRunning = job.runs.some(({ process, how }) => process === owner.number && how === undefined)
    if (isAway && state !== 'held' && job.batch?.end === undefined) job.isOrphan = true
    if (isAway || isRunning) this.#checks.reclaimed(id, from, 'another')
  }

  #isAway({ isGone, isFrozen, troubledUntil }: SharedProcess): boolean {
    return isGone || isFrozen || this.#clock.now() - troubledUntil < SILENCE
  }

  #holder(prefix: string): SharedProcess | undefined {
    return this.#all.find(({ process }) => process.prefix === prefix)?.process
  }

  // ── Steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Does one step and compares everything. */
  async apply(op: Op): Promise<void> {
    if (op.do === 'advance') await this.#advance(op.ms)
    else if (op.do === 'in') this.#in(op.process, op.does)
    else if (op.do === 'kill') await this.#kill(op.process, op.after, op.downtime)
    else if (op.do === 'freeze') this.#freeze(op.process, op.ms)
    await this.#turn()
    this.#replaceStopped()
  }

  #at(which: number): Hands {
    return this.#hands[which % this.#hands.length] as Hands
  }

  #in(which: number, op: Op): void {
    const hands = this.#at(which)
    if (hands.process.isFrozen || hands.process.isGone) return
    hands.process.keepUp()
    hands.act(op)
  }

  async #kill(which: number, after: number, downtime: number): Promise<void> {
    for (let event = 0; event < after && this.model.violation === undefined; event++) await this.#event()
    const place = which % this.#hands.length
    const hands = this.#at(place)
    if (hands.process.isGone) return
    this.#end(hands)
    this.#file.died(hands.process.prefix)
    this.#clock.at(this.#clock.now() + downtime, () => this.#begin(place))
  }

  #freeze(which: number, ms: number): void {
    const { process } = this.#at(which)
    process.frozenUntil = Math.max(process.frozenUntil, this.#clock.now() + ms)
    if (ms > SILENCE) process.troubledUntil = process.frozenUntil
  }

  // ── Processes ──────────────────────────────────────────────────────────────────────────────────────────────────

  #begin(place: number): void {
    const now = (): number => this.#clock.now()
    const parts = {
      ...{ options: this.#plan.world, subject: this.#subject, random: this.#random, disk: this.#disk },
      time: this.#clock.time,
    }
    const process = new SharedProcess(this.#all.length, now, parts, (made) => this.#host(made))
    const hands = new ClusterHands<SharedProcess>(process, this.model, this.#plan, now)
    this.#hands[place] = hands
    this.#all.push(hands)
    this.#listen(hands)
  }

  /** The process is gone, and with it what it had not stored. */
  #end({ process, batches }: Hands): void {
    process.end()
    this.#file.look()
    for (const { model: batch } of batches) batch.end ??= 'gone'
    for (const job of this.model.jobs) {
      for (const run of job.runs) if (run.process === process.number) run.how ??= 'died'
      if (job.process !== process.number || job.isOver) continue
      if (job.isThere) {
        job.isOrphan = this.#file.get(job.id)?.state === 'held'
        continue
      }
      this.model.expect(!job.isStored, () => `${job.id} was stored, and the file does not have it`)
      job.ends.push('lost')
      job.isOver = true
    }
  }

  #replaceStopped(): void {
    for (const [place, hands] of this.#hands.entries()) {
      if (hands.report === undefined || hands.process.isGone) continue
      for (const job of this.model.jobs) {
        if (job.process === hands.process.number && !job.isThere && !job.isOver)
          this.model.violate(`${job.id} is neither stored nor over after stop()`)
      }
      this.#end(hands)
      this.#clock.at(this.#clock.now() + 20, () => this.#begin(place))
    }
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

  /** Where something happens next: in the world, or in a process. */
  #next(): { at: number; process: SharedProcess | undefined } {
    let at = this.#clock.next()
    let process: SharedProcess | undefined
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
    if (++this.#events > MOST_EVENTS) this.model.violate(`nothing comes to rest: ${MOST_EVENTS} events`)
    if (process === undefined) return void this.#clock.run()
    process.keepUp(process.clock.next())
    process.clock.run()
    this.#file.look()
    const { failure } = process.life
    if (failure !== undefined) this.model.violate(`the file cannot be opened: ${String(failure)}`)
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
    const isReady = ({ process, isStopping }: Hands): boolean =>
      !(process.isFrozen || process.isGone || isStopping) && process.life.isOpen
    await this.#until(() => this.#hands.every(isReady), 60_000)
    for (const hands of this.#hands) {
      hands.reactions.clear()
      if (!isReady(hands)) continue
      hands.process.keepUp()
      hands.act({ do: 'resume', pool: null })
      for (const { model: batch } of hands.batches) if (batch.end === undefined) hands.settle(0, 'sent')
      for (const id of ['s', 't']) hands.act({ do: 'unschedule', id })
    }
    const patience = 200_000 + model.jobs.length * 10_000
    for (let look = 0; look < 2; look++) {
      if (!(await this.#until(() => this.#isAtRest(), patience))) this.#starved()
      if (model.violation !== undefined) return
      await this.#advance(300)
    }
    await this.#countsAreRight()
    for (const hands of this.#hands) hands.promisesWereKept()
    const last = [...this.#hands]
    for (const hands of last) hands.stop(1000)
    await this.#until(() => last.every(({ report }) => report !== undefined), 20_000)
    for (const { report } of last) {
      const left = (report?.left.length ?? 0) + (report?.lost.length ?? 0)
      model.expect(report !== undefined, () => 'a stop() has not ended')
      model.expect(left === 0, () => `the last stop() leaves ${left} jobs, and all had ended`)
    }
  }

  #isAtRest(): boolean {
    const isReady = this.#hands.every(
      ({ process, pending, isStopping }) => !(process.isGone || isStopping) && pending === 0,
    )
    return isReady && this.model.jobs.every(({ isOver }) => isOver)
  }

  #starved(): void {
    const names = this.model.jobs
      .filter(({ isOver }) => !isOver)
      .map((job) => `${job.id} (${job.rules.name})`)
    const pending = this.#hands.map((hands) => hands.pending).join(', ')
    this.model.violate(
      `after a long while ${names.slice(0, 5).join(', ') || 'nothing'} did not end; ${pending} are pending`,
    )
  }

  async #countsAreRight(): Promise<void> {
    const { model } = this
    for (const { process } of this.#hands) {
      const asked: { counts?: Record<string, number>; isOver?: true } = {}
      process.runtime.counts().then(
        (counts) => void Object.assign(asked, { counts, isOver: true }),
        () => void Object.assign(asked, { isOver: true }),
      )
      await this.#until(() => asked.isOver === true, 10_000)
      for (const how of ['completed', 'cancelled', 'skipped', 'dead']) {
        const expected = model.jobs.filter((job) => job.isThere && job.ends.at(-1) === how).length
        const count = asked.counts?.[how]
        model.expect(
          count === expected,
          () => `counts().${how} of ${process.number} is ${count}, not ${expected}`,
        )
      }
    }
  }

  /** Leaves nothing behind. */
  end(): void {
    for (const { process } of this.#all) if (!process.isGone) process.end()
    this.#file.close()
    this.#disk.remove()
  }

  // ── Wiring ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #host(process: SharedProcess): LifeHost {
    const jobOf = (record: JobRecord): ClusterJob | undefined => {
      if (process.isGone) return undefined
      const job = this.model.byId.get(process.idOf(record))
      if (job === undefined) this.model.violate(`job ${record.seq}, which was never accepted, runs`)
      return job
    }
    return {
      behaviourOf: (record) => this.#behaviourOf(process.idOf(record), record),
      nests: (task) => this.#all[process.number]?.nests(task),
      sent: () => {},
      givenBack: () => {},
      finishing: () => {},
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

  #listen(hands: Hands): void {
    const { process } = hands
    const { runtime } = process
    runtime.on('job:enqueued', ({ job }) => hands.accepted(job.id))
    for (const how of ['completed', 'cancelled', 'skipped', 'dead', 'lost'] as const) {
      runtime.on(`job:${how}`, ({ job }) => {
        if (!process.isGone) this.#checks.told(job.id, process, how)
      })
    }
    runtime.on('job:retrying', ({ job, delay }) => {
      if (!process.isGone) this.#checks.retrying(job.id, process, delay)
    })
    for (const name of EVENTS) runtime.on(name, () => hands.reactTo(name))
  }
}

/** Lets promises do what they have to do: whatever is ready by now runs before a tick that was asked for by them. */
function promises(): Promise<void> {
  return new Promise((resolve) => void globalThis.process.nextTick(resolve))
}
