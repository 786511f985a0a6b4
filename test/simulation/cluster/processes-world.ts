/**
 * Several processes in true time, which none of their clocks shows, whatever they share: the steps that a plan does with them,
 * what happens next and where, and how their run comes to rest.
 */
import { decode, type Encoded } from '../../../src/rules/codec.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import type { Behaviour, Op, Plan, ReactsTo } from '../plan.ts'
import { seeded } from '../random.ts'
import { NESTED } from '../sim-pool.ts'
import { VirtualClock } from '../virtual-clock.ts'
import type { ClusterChecks, Seen } from './cluster-checks.ts'
import { ClusterHands, type Operated } from './cluster-hands.ts'
import { type ClusterJob, ClusterModel } from './cluster-model.ts'
import type { ProcessHost } from './sim-process.ts'

const MOST_EVENTS = 400_000
const RETURNS: Behaviour = { ends: 'returns', ms: 0, blocks: false, onAbort: 'ignores' }
const START = 1_700_000_000_000
const EVENTS: readonly ReactsTo[] = [
  ...(['job:enqueued', 'job:started', 'job:completed', 'job:retrying', 'job:dead'] as const),
  ...(['job:cancelled', 'job:skipped', 'job:interrupted', 'thread:exited'] as const),
]

/** One process of the world. */
export interface Member extends Operated, Seen {
  readonly client: Operated['client'] & Seen['client']
  readonly isGone: boolean
  readonly isFrozen: boolean
  frozenUntil: number
  troubledUntil: number
  idOf(job: JobRecord): string
  /** When something happens in it next, in true time. */
  next(): number
  /** Brings its clock to the true time, or to an event that is due by then. */
  keepUp(event?: number): void
  end(): void
}

/** The world of one run. */
export abstract class ProcessesWorld<P extends Member> {
  readonly model = new ClusterModel()
  protected readonly plan: Plan
  protected readonly random: () => number
  protected readonly clock = new VirtualClock(0, START)
  /** Of each number, the process that is there now. */
  protected readonly hands: ClusterHands<P>[] = []
  /** All that have been, by their number. */
  protected readonly all: ClusterHands<P>[] = []
  protected abstract readonly checks: ClusterChecks
  /** What they share, in words. */
  protected abstract readonly shared: string
  /** Milliseconds of standing still after which a process is in trouble. */
  protected abstract readonly longestStill: number
  readonly #hasAdded = new Set<string>()
  #events = 0

  constructor(plan: Plan) {
    this.plan = plan
    this.random = seeded(plan.world.seed)
    this.model.time = () => this.clock.now()
  }

  /** A new process. */
  protected abstract make(number: number): P

  /** A job lies in what they share as one that waits for its response. */
  protected abstract isHeld(id: string): boolean

  /** A process has done something. */
  protected abstract ran(process: P): void

  /** A process is gone. */
  protected gone(): void {}

  // ── Steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  protected at(which: number): ClusterHands<P> {
    return this.hands[which % this.hands.length] as ClusterHands<P>
  }

  protected in(which: number, op: Op): void {
    const hands = this.at(which)
    // What stands still does nothing, and who stops is asked for nothing more.
    if (hands.process.isFrozen || hands.process.isGone) return
    hands.process.keepUp()
    hands.act(op)
  }

  /** Kills a process after some more events; returns the process, if there was one. */
  protected async kill(which: number, after: number, downtime: number): Promise<P | undefined> {
    for (let event = 0; event < after && this.model.violation === undefined; event++) await this.#event()
    const place = which % this.hands.length
    const hands = this.at(place)
    if (hands.process.isGone) return undefined
    this.#end(hands)
    this.clock.at(this.clock.now() + downtime, () => this.begin(place))
    return hands.process
  }

  protected freeze(which: number, ms: number): void {
    const { process } = this.at(which)
    process.frozenUntil = Math.max(process.frozenUntil, this.clock.now() + ms)
    if (ms > this.longestStill) process.troubledUntil = process.frozenUntil
  }

  // ── Processes ──────────────────────────────────────────────────────────────────────────────────────────────────

  protected begin(place: number): void {
    const process = this.make(this.all.length)
    const hands = new ClusterHands(process, this.model, this.plan, () => this.clock.now())
    this.hands[place] = hands
    this.all.push(hands)
    this.#listen(hands)
  }

  /** The process is gone, and with it what it had not stored. */
  #end({ process, batches }: ClusterHands<P>): void {
    process.end()
    this.gone()
    for (const { model: batch } of batches) batch.end ??= 'gone'
    for (const job of this.model.jobs) {
      for (const run of job.runs) if (run.process === process.number) run.how ??= 'died'
      if (job.process !== process.number || job.isOver) continue
      if (job.isThere) {
        job.isOrphan = this.isHeld(job.id)
        continue
      }
      this.model.expect(!job.isStored, () => `${job.id} was stored, and the ${this.shared} does not have it`)
      // What it sent last may still arrive.
      job.ends.push('lost')
      job.isOver = true
    }
  }

  protected replaceStopped(): void {
    for (const [place, hands] of this.hands.entries()) {
      if (hands.report === undefined || hands.process.isGone) continue
      this.stopped(hands)
      this.#end(hands)
      this.clock.at(this.clock.now() + 20, () => this.begin(place))
    }
  }

  /** The stop of a process has ended. */
  protected stopped({ process }: ClusterHands<P>): void {
    for (const job of this.model.jobs) {
      if (job.process === process.number && !job.isThere && !job.isOver)
        this.model.violate(`${job.id} is neither stored nor over after stop()`)
    }
  }

  // ── Time ───────────────────────────────────────────────────────────────────────────────────────────────────────

  protected async advance(ms: number): Promise<void> {
    const end = this.clock.now() + ms
    while (this.model.violation === undefined && this.#next().at <= end) await this.#event()
    this.clock.moveTo(end)
  }

  protected async until(isOver: () => boolean, limit: number): Promise<boolean> {
    const end = this.clock.now() + limit
    await this.turn()
    while (!isOver() && this.model.violation === undefined) {
      if (this.#next().at > end) return false
      await this.#event()
      this.replaceStopped()
    }
    return true
  }

  /** Where something happens next: in what they share, or in a process. */
  #next(): { at: number; process: P | undefined } {
    let at = this.clock.next()
    let process: P | undefined
    for (const hands of this.hands) {
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
    this.clock.moveTo(at)
    if (++this.#events > MOST_EVENTS) this.model.violate(`nothing comes to rest: ${MOST_EVENTS} events`)
    // What is shared becomes known to a process when an answer comes.
    if (process === undefined) return void this.clock.run()
    process.keepUp(process.clock.next())
    process.clock.run()
    this.ran(process)
    await this.turn()
  }

  /** Ends a turn of the event loop: promises first, then what waits for its end. */
  protected async turn(): Promise<void> {
    await promises()
    for (;;) {
      const soon = this.hands.find(
        ({ process }) => process.clock.hasSoon && !process.isGone && !process.isFrozen,
      )
      if (soon === undefined) return
      soon.process.clock.turn()
      await promises()
    }
  }

  // ── The end of a run ───────────────────────────────────────────────────────────────────────────────────────────

  /** Nobody adds anything any more where a process is there for that, and what waits may run. */
  protected settleDown(isThere: (hands: ClusterHands<P>) => boolean): void {
    for (const hands of this.hands) {
      hands.reactions.clear()
      if (!isThere(hands)) continue
      hands.process.keepUp()
      hands.act({ do: 'resume', pool: null })
      for (const { model: batch } of hands.batches) if (batch.end === undefined) hands.settle(0, 'sent')
      for (const id of ['s', 't']) hands.act({ do: 'unschedule', id })
    }
  }

  /** Lets all jobs end, with further looks for what was under way when all seemed to be over, such as a revival. */
  protected async rest(patience: number, looks: number, between: number): Promise<void> {
    for (let look = 0; look < looks; look++) {
      if (!(await this.until(() => this.#isAtRest(), patience))) this.#starved()
      if (this.model.violation !== undefined) return
      await this.advance(between)
    }
  }

  async #stopAll(): Promise<void> {
    const last = [...this.hands]
    for (const hands of last) hands.stop(1000)
    await this.until(() => last.every(({ report }) => report !== undefined), 20_000)
    for (const { report } of last) {
      const left = (report?.left.length ?? 0) + (report?.lost.length ?? 0)
      this.model.expect(report !== undefined, () => 'a stop() has not ended')
      this.model.expect(left === 0, () => `the last stop() leaves ${left} jobs, and all had ended`)
    }
  }

  /** All promises were kept, and the last processes stop. */
  protected async close(): Promise<void> {
    for (const hands of this.hands) hands.promisesWereKept()
    await this.#stopAll()
  }

  #isAtRest(): boolean {
    const isReady = this.hands.every(
      ({ process, pending, isStopping }) => !(process.isGone || isStopping) && pending === 0,
    )
    return isReady && this.model.jobs.every(({ isOver }) => isOver)
  }

  #starved(): void {
    const { model } = this
    const names = model.jobs.filter(({ isOver }) => !isOver).map((job) => `${job.id} (${job.rules.name})`)
    const pending = this.hands.map((hands) => hands.pending).join(', ')
    model.violate(
      `after a long while ${names.slice(0, 5).join(', ') || 'nothing'} did not end; ${pending} are pending`,
    )
  }

  /** What is answered to a question, or undefined when it is refused. */
  protected async ask<T>(question: Promise<T>): Promise<T | undefined> {
    let answer: T | undefined
    let isThere = false
    const rest = (): void => {
      isThere = true
    }
    question.then((value) => {
      answer = value
      rest()
    }, rest)
    await this.until(() => isThere, 10_000)
    return answer
  }

  // ── Wiring ─────────────────────────────────────────────────────────────────────────────────────────────────────

  protected hostOf(process: P): ProcessHost {
    const jobOf = (record: JobRecord): ClusterJob | undefined => {
      if (process.isGone) return undefined
      const job = this.model.byId.get(process.idOf(record))
      if (job === undefined) this.model.violate(`job ${record.seq}, which was never accepted, runs`)
      return job
    }
    return {
      behaviourOf: (record) => this.#behaviourOf(process.idOf(record), record),
      nests: (task) => this.all[process.number]?.nests(task),
      sent: () => {},
      givenBack: () => {},
      handlerStarts: (record, attempt) => {
        const job = jobOf(record)
        if (job !== undefined) this.checks.handlerStarts(job, process, attempt)
      },
      handlerStops: (record, how) => {
        const job = jobOf(record)
        if (job !== undefined) this.checks.handlerStops(job, process, how)
      },
    }
  }

  #behaviourOf(id: string, record: JobRecord): Behaviour {
    const number = decode(record.payload as Encoded) as number
    const runs = this.plan.specs[(number % NESTED) % this.plan.specs.length]?.runs ?? []
    const behaviour = runs[Math.min(record.attempts, runs.length) - 1] ?? RETURNS
    if (behaviour.adds === undefined) return behaviour
    // A job adds once, and what it adds adds nothing: a plan must come to an end.
    const adds = number >= NESTED || this.#hasAdded.has(id) ? undefined : behaviour.adds
    this.#hasAdded.add(id)
    return { ...behaviour, adds }
  }

  #listen(hands: ClusterHands<P>): void {
    const { process } = hands
    const { runtime } = process
    runtime.on('job:enqueued', ({ job }) => hands.accepted(job.id))
    for (const how of ['completed', 'cancelled', 'skipped', 'dead', 'lost'] as const) {
      runtime.on(`job:${how}`, ({ job }) => {
        if (!process.isGone) this.checks.told(job.id, process, how)
      })
    }
    runtime.on('job:retrying', ({ job, delay }) => {
      if (!process.isGone) this.checks.retrying(job.id, process, delay)
    })
    for (const name of EVENTS) runtime.on(name, () => hands.reactTo(name))
  }
}

/** Lets promises do what they have to do: whatever is ready by now runs before a tick that was asked for by them. */
function promises(): Promise<void> {
  return new Promise((resolve) => void globalThis.process.nextTick(resolve))
}
