/** One simulated run: a runtime on virtual time and simulated threads, from its first step to its stop. */
import type { Broker } from '../../src/brokers/port/broker.ts'
import { engineOf, Runtime } from '../../src/engine/runtime.ts'
import type { PoolHost } from '../../src/pools/pool.ts'
import { decode, type Encoded } from '../../src/rules/codec.ts'
import type { JobRecord } from '../../src/rules/job-record.ts'
import { Census, type Observed } from './census.ts'
import { Checks } from './checks.ts'
import { Hands } from './hands.ts'
import { Model } from './model.ts'
import { uniqueKeyOf } from './model-job.ts'
import type { Behaviour, Op, Plan, ReactsTo, Spec } from './plan.ts'
import { seeded } from './random.ts'
import { NESTED, SimPool } from './sim-pool.ts'
import { runtimeOptionsOf } from './specs.ts'
import { taskRules, tasks } from './tasks.ts'
import { VirtualClock } from './virtual-clock.ts'

/** What is put to the test: a broker, and perhaps something between the pools and the engine. */
export interface Subject {
  readonly broker: () => Broker
  /** Stands between a pool and the engine: for faults that are seeded on purpose. */
  readonly host?: (host: PoolHost) => PoolHost
}

const MOST_EVENTS = 400_000
const NOTHING: Spec = { task: 0, runs: [] }
const RETURNS: Behaviour = { ends: 'returns', ms: 0, blocks: false, onAbort: 'ignores' }

/** The world of one run. */
export class World {
  readonly clock = new VirtualClock()
  readonly model: Model
  readonly runtime: Runtime
  readonly #hands: Hands
  readonly #checks: Checks
  readonly #census: Census
  readonly #broker: Broker
  readonly #options: Plan['world']
  readonly #pools = new Map<string, SimPool>()
  readonly #hasAdded = new Set<JobRecord>()
  #events = 0

  constructor(plan: Plan, subject: Subject) {
    const { world } = plan
    this.#options = world
    this.model = new Model(this.clock, world.ageing)
    this.#checks = new Checks(this.model)
    this.#census = new Census(this.model)
    this.#broker = subject.broker()
    const random = seeded(world.seed)
    this.runtime = new Runtime(
      {
        tasks,
        broker: this.#broker,
        ...runtimeOptionsOf(world),
      },
      {
        clock: this.clock,
        random,
        makePool: (parts) => {
          const pool = new SimPool({
            parts,
            clock: this.clock,
            stillborn: world.stillborn,
            latency: () => latency(random()),
            witness: this.#checks,
            behaviourOf: (job) => this.#behaviourOf(job),
            nests: (task) => this.#nests(task),
          })
          if (subject.host !== undefined) {
            const start = pool.start.bind(pool)
            pool.start = (host) => start(subject.host?.(host) ?? host)
          }
          this.#pools.set(parts.name, pool)
          return pool
        },
      },
    )
    this.model.isShut = ({ record }) => this.runtime[engineOf].holds.isShut(record.entry)
    this.#hands = new Hands(this.runtime, this.model, plan, this.#pools)
    this.#listen()
  }

  /** True while a stop waits for what only promises bring. */
  get isFinishing(): boolean {
    return (
      this.model.phase === 'stopping' &&
      this.#hands.report === undefined &&
      this.runtime.stats().phase === 'stopped'
    )
  }

  // ── Steps ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Does one step and compares everything. */
  async apply(op: Op): Promise<void> {
    if (op.do === 'advance') await this.advance(op.ms)
    else this.#hands.act(op)
    if (this.model.phase === 'stopping') await this.#promises()
    this.check()
  }

  check(): void {
    this.#census.step(this.#observed())
  }

  /** Lets time pass. */
  async advance(ms: number): Promise<void> {
    const end = this.clock.now() + ms
    this.clock.turn()
    while (this.clock.next() <= end && this.model.violation === undefined) await this.#event()
    this.clock.moveTo(end)
    this.clock.turn()
    this.#census.noIdling(this.#observed())
  }

  /** Lets events happen until `isOver`, at most for so many milliseconds. False when that did not come to pass. */
  async until(isOver: () => boolean, limit: number): Promise<boolean> {
    const end = this.clock.now() + limit
    this.clock.turn()
    for (;;) {
      if (this.model.phase === 'stopping') await this.#promises()
      if (isOver() || this.model.violation !== undefined) return true
      if (this.clock.next() > end) {
        for (let turn = 0; turn < 100 && this.isFinishing; turn++) await null
        return isOver()
      }
      await this.#event()
    }
  }

  async #event(): Promise<void> {
    this.clock.moveTo(this.clock.next())
    this.clock.step()
    if (++this.#events > MOST_EVENTS) this.model.violate(`nothing comes to rest: ${MOST_EVENTS} events`)
    if (this.model.phase === 'stopping') await this.#promises()
  }

  /** Lets promises do what they have to do at this moment. */
  async #promises(): Promise<void> {
    for (let turn = 0; turn < 16 && (turn < 2 || this.isFinishing); turn++) await null
    this.clock.turn()
  }

  // ── The end of a run ───────────────────────────────────────────────────────────────────────────────────────────

  /** The load is over: everything drains, and the runtime stops. */
  async drain(): Promise<void> {
    const { model } = this
    this.#hands.reactions.clear()
    this.#hands.act({ do: 'resume', pool: null })
    for (const { model: batch } of this.#hands.batches)
      if (batch.end === undefined) this.#hands.settle(0, 'sent')
    // Threads that keep dying are restarted at most every 30 seconds.
    const patience = 200_000 + model.pending.size * 120_000
    if (model.phase === 'running') {
      const isDone = await this.until(() => model.pending.size === 0, patience)
      if (!isDone) this.#starved()
      this.check()
      this.#hands.stop(1000)
    }
    const { stopDeadline } = model
    const left = stopDeadline === Number.POSITIVE_INFINITY ? patience : stopDeadline - this.clock.now() + 2000
    const isStopped = await this.until(() => this.#hands.report !== undefined, Math.max(left, 2000))
    model.expect(isStopped, () => `stop() has not ended; ${model.pending.size} jobs are pending`)
    if (model.violation !== undefined) return
    await null
    this.check()
    for (const job of model.jobs) this.#hands.wasTold(job)
  }

  /** After a violation: ends the runtime, so that it leaves nothing behind. */
  async abandon(): Promise<void> {
    let isOver = false
    const over = (): void => {
      isOver = true
    }
    this.runtime.stop({ timeout: 0 }).then(over, over)
    for (let event = 0; event < 5000 && !isOver; event++) {
      try {
        if (this.clock.next() !== Number.POSITIVE_INFINITY) this.clock.moveTo(this.clock.next())
        this.clock.step()
      } catch {
        // What is broken may stay so; the violation is already known.
      }
      await null
    }
  }

  #starved(): void {
    const names = [...this.model.pending]
      .slice(0, 5)
      .map((job) => `${job.id} (${job.rules.name}, ${job.record.state})`)
    const isOver = this.clock.next() === Number.POSITIVE_INFINITY
    this.model.violate(
      `${isOver ? 'nothing will ever happen, but' : 'after a long while'} ${names} did not end`,
    )
  }

  // ── Wiring ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #observed(): Observed {
    const { runtime } = this
    const { maxPending, retention } = this.#options
    return { runtime, broker: this.#broker, pools: this.#pools, maxPending, retention }
  }

  /** What a handler adds may find a job instead. */
  #nests(task: string): void {
    const rules = taskRules.find(({ name }) => name === task)
    const key = rules === undefined ? undefined : uniqueKeyOf(rules, NOTHING)
    const holder = key === undefined ? undefined : this.model.holderOf(key)
    if (holder === undefined || this.runtime.stats().phase === 'stopped') return
    this.model.joined(holder, { batch: undefined, spec: NOTHING, controller: undefined })
  }

  #behaviourOf(record: JobRecord): Behaviour {
    const number = decode(record.payload as Encoded) as number
    const { runs } = this.#hands.spec(number % NESTED)
    const behaviour = runs[Math.min(record.attempts, runs.length) - 1] ?? RETURNS
    if (behaviour.adds === undefined) return behaviour
    // A job adds once, and what it adds adds nothing: a plan must come to an end.
    const adds = number >= NESTED || this.#hasAdded.has(record) ? undefined : behaviour.adds
    this.#hasAdded.add(record)
    return { ...behaviour, adds }
  }

  #listen(): void {
    const { model, runtime } = this
    const checks = this.#checks
    runtime.on('job:enqueued', ({ job }) => {
      const record = this.#hands.find(job.id) as JobRecord
      const number = decode(record.payload as Encoded) as number
      const rules = taskRules[record.entry.index] as (typeof taskRules)[number]
      const isNested = number >= NESTED
      const { batch, controller } = isNested ? {} : this.#hands.adding
      model.accepted(job.id, record, {
        rules,
        batch,
        controller,
        spec: isNested ? { task: 0, runs: [] } : this.#hands.spec(number),
      })
    })
    runtime.on('job:completed', ({ job }) => checks.ended(job, 'completed', undefined))
    runtime.on('job:cancelled', ({ job, error }) => checks.ended(job, 'cancelled', error))
    runtime.on('job:skipped', ({ job }) => checks.ended(job, 'skipped', undefined))
    runtime.on('job:dead', ({ job, error }) => checks.ended(job, 'dead', error))
    runtime.on('job:lost', ({ job, error }) => checks.ended(job, 'lost', error))
    runtime.on('job:retrying', ({ job, error, delay }) => checks.retrying(job.id, error, delay))
    runtime.on('job:interrupted', ({ job }) => checks.interrupted(job.id))
    for (const name of [
      'enqueued',
      'completed',
      'cancelled',
      'skipped',
      'dead',
      'retrying',
      'interrupted',
    ] as const) {
      this.#reactTo(`job:${name}`)
    }
    this.#reactTo('job:started')
    this.#reactTo('thread:exited')
  }

  #reactTo(name: ReactsTo): void {
    this.runtime.on(name, () => {
      const op = this.#hands.reactions.get(name)?.shift()
      if (op === undefined) return
      const wasReacting = this.model.isReacting
      this.model.isReacting = true
      try {
        this.#hands.act(op)
      } catch (error) {
        this.model.violate(`${op.do} in a listener of ${name} threw ${String(error)}`)
      }
      this.model.isReacting = wasReacting
    })
  }
}

/** Mostly short, sometimes long enough for anything to come in between. */
function latency(chance: number): number {
  return chance < 0.4 ? 0 : chance < 0.8 ? 0.1 : chance < 0.95 ? 2 : 9
}
