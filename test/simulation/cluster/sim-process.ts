/** One simulated process: a runtime with simulated threads, over its own way to the shared store, with clocks of its own. */
import { BullmqBroker } from '../../../src/brokers/bullmq/bullmq-broker.ts'
import { type BullmqOptions, readBullmqOptions } from '../../../src/brokers/bullmq/options.ts'
import { engineOf, Runtime } from '../../../src/engine/runtime.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import type { Behaviour, Plan } from '../plan.ts'
import type { LaneWitness } from '../sim-lane.ts'
import { SimPool } from '../sim-pool.ts'
import { runtimeOptionsOf } from '../specs.ts'
import { tasks } from '../tasks.ts'
import { VirtualClock } from '../virtual-clock.ts'
import { CLUSTER_TASKS } from './cluster-plan.ts'
import { ModelClient } from './model-client.ts'
import type { SimServer } from './sim-server.ts'

const WRONG_BY = [60_000, 3_600_000] as const

/** Milliseconds of a lease: several of everything that a process waits for. */
export const LEASE = 4000
const PATIENCE = 400

/** What is put to the test: the broker as it is, or with something wrong on purpose. */
export interface ClusterSubject {
  /** Does something to the store. */
  readonly tamper?: (server: SimServer) => void
  /** Does something to a part of the broker; the call that it returns takes it back. */
  readonly patch?: () => () => void
}

/** What a process tells of its threads. */
export interface ProcessHost extends LaneWitness {
  behaviourOf(job: JobRecord): Behaviour
  /** A handler is about to add a job of a task. */
  nests(task: string): void
}

/** What a process is made of. */
export interface ProcessParts {
  readonly number: number
  readonly server: SimServer
  readonly world: Plan['world']
  readonly random: () => number
  readonly host: (process: SimProcess) => ProcessHost
}

/** The process. */
export class SimProcess {
  readonly number: number
  readonly clock: VirtualClock
  readonly client: ModelClient
  readonly broker: BullmqBroker
  readonly runtime: Runtime
  readonly pools = new Map<string, SimPool>()
  readonly born: number
  isGone = false
  /** It stands still until then, in true time. */
  frozenUntil = 0
  /** When it was last in trouble of its own: frozen, or cut off. */
  troubledUntil = Number.NEGATIVE_INFINITY
  failure: unknown
  readonly #zero: number
  readonly #rate: number
  #skew: number
  readonly #server: SimServer
  readonly #records = new Map<string, JobRecord>()

  constructor({ number, server, world, random, host: hostOf }: ProcessParts) {
    this.number = number
    this.#server = server
    this.born = server.clock.now()
    // Each has a zero of its own, a clock that goes up to half a percent wrong, and a wall clock that
    // is off by milliseconds, by a minute, or by an hour.
    this.#zero = Math.floor(random() * 1e6) + 0.25
    this.#rate = 1 + (random() - 0.5) / 100
    this.#skew = skew(random())
    const clock = new VirtualClock(this.#zero, server.clock.time + this.#skew)
    this.clock = clock
    const isOrdered = world.isOrdered === true
    this.client = new ModelClient({
      ...{ server, clock, random, isOrdered },
      toLocal: (moment) => this.toLocal(moment),
      latency: () => latency(random()),
    })
    const given: BullmqOptions = { connection: 'redis://model', lease: LEASE, patience: PATIENCE }
    const settings = readBullmqOptions({
      ...given,
      whenDown: world.seed % 2 === 0 ? 'buffer' : 'refuse',
      prefetch: world.seed % 3 === 0 ? 3 : 0,
    })
    this.broker = new BullmqBroker(this.client, settings)
    const add = this.broker.add.bind(this.broker)
    this.broker.add = (job, after) => {
      this.#records.set(this.idOf(job), job)
      add(job, after)
    }
    const host = hostOf(this)
    const { pools, ...options } = runtimeOptionsOf(world)
    this.runtime = new Runtime(
      {
        tasks: tasks.filter(({ name }) => CLUSTER_TASKS.has(name)),
        broker: this.broker,
        ...options,
        ...(pools?.['io'] === undefined ? {} : { pools: { io: pools['io'] } }),
      },
      {
        clock,
        random,
        makePool: (parts) => {
          const pool = new SimPool({
            ...{ parts, clock, stillborn: world.stillborn, witness: host },
            latency: () => latency(random()),
            behaviourOf: (job) => host.behaviourOf(job),
            nests: (task) => host.nests(task),
          })
          this.pools.set(parts.name, pool)
          return pool
        },
      },
    )
    this.runtime[engineOf].opened.catch((error: unknown) => {
      this.failure = error
    })
  }

  idOf(job: JobRecord): string {
    return job.extras?.id ?? this.runtime[engineOf].jobs.idOf(job)
  }

  /** What the ids of its jobs start with. */
  get prefix(): string {
    return this.runtime[engineOf].ids.prefix
  }

  /** The record of a job that it has accepted. */
  recordOf(id: string): JobRecord | undefined {
    return this.#records.get(id)
  }

  // ── Time ───────────────────────────────────────────────────────────────────────────────────────────────────────

  toLocal(moment: number): number {
    return this.#zero + (moment - this.born) * this.#rate
  }

  /** When something happens in it next, in true time. */
  next(): number {
    if (this.isGone) return Number.POSITIVE_INFINITY
    const next = this.born + (this.clock.next() - this.#zero) / this.#rate
    return Math.max(next, this.frozenUntil)
  }

  /** True when it stands still now. */
  get isFrozen(): boolean {
    return this.frozenUntil > this.#server.clock.now()
  }

  /** Brings its clock to the true time, or to an event that is due by then. The wall clock is kept at its distance. */
  keepUp(event = 0): void {
    const { clock } = this.#server
    this.clock.moveTo(Math.max(event, this.toLocal(clock.now())))
    this.clock.jump(clock.time + this.#skew - this.clock.time)
  }

  /** Somebody sets its wall clock. */
  setWall(milliseconds: number): void {
    this.#skew += milliseconds
    this.clock.jump(milliseconds)
  }

  /** It is gone between two events: nobody will hear of it again. */
  end(): void {
    this.isGone = true
    this.client.vanish()
    const { host, pending } = this.runtime[engineOf]
    // Or it would keep the process of the simulation alive.
    host.pendingChanged(-pending.count)
  }
}

/** By how much a wall clock is off: one of three by up to 20 ms, the others by a minute or an hour and a bit, either way. */
function skew(chance: number): number {
  const bit = Math.round(((chance * 1000) % 1) * 40) - 20
  return chance < 0.34 ? bit : chance < 0.67 ? WRONG_BY[0] * sign(bit) + bit : WRONG_BY[1] * sign(bit) + bit
}

function sign(value: number): number {
  return value < 0 ? -1 : 1
}

/** Mostly short, sometimes long enough for anything to come in between. */
function latency(chance: number): number {
  return chance < 0.4 ? 0.05 : chance < 0.8 ? 0.3 : chance < 0.96 ? 2 : 12
}
