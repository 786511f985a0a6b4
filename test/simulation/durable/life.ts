/** One process of a run: a runtime over the journal's file, in virtual time of its own, from its start to its end. */
import type { Broker } from '../../../src/brokers/port/broker.ts'
import { SqliteBroker } from '../../../src/brokers/sqlite/sqlite-broker.ts'
import { engineOf, Runtime } from '../../../src/engine/runtime.ts'
import type { Lane, PoolHost } from '../../../src/pools/pool.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import { type JournalSetup, OP, OP_LENGTH, STATES, TO_JOURNAL } from '../../../src/rules/journal-protocol.ts'
import type { JobState } from '../../../src/words/job.ts'
import type { OpenFile } from '../../../workers/journal/file.ts'
import { Journal } from '../../../workers/journal/journal.ts'
import type { Behaviour, WorldOptions } from '../plan.ts'
import { SimPool } from '../sim-pool.ts'
import type { HandlerEnd } from '../sim-thread.ts'
import { runtimeOptionsOf } from '../specs.ts'
import { tasks } from '../tasks.ts'
import { VirtualClock } from '../virtual-clock.ts'
import type { Disk } from './journal-files.ts'
import { SimLink } from './sim-link.ts'

/** What is put to the test: the broker and its journal as they are, or with a fault that is seeded on purpose. */
export interface DurableSubject {
  readonly openFile?: (setup: JournalSetup) => OpenFile
  readonly openJournal?: (setup: JournalSetup, file: OpenFile) => Journal
  readonly broker?: (real: SqliteBroker) => Broker
  /** Stands between a pool and the engine. */
  readonly host?: (host: PoolHost) => PoolHost
}

/** What a process tells the run that it is part of. */
export interface LifeHost {
  readonly behaviourOf: (job: JobRecord) => Behaviour
  /** A handler is about to add a job of a task. */
  readonly nests: (task: string) => void
  sent(lane: Lane, jobs: readonly JobRecord[]): void
  givenBack(job: JobRecord): void
  handlerStarts(job: JobRecord, attempt: number): void
  handlerStops(job: JobRecord, how: HandlerEnd): void
  /** The engine tells the broker how a job ends. */
  finishing(job: JobRecord, state: JobState): void
}

/** What a process starts with. */
export interface LifeParts {
  readonly options: WorldOptions
  readonly subject: DurableSubject
  readonly host: LifeHost
  readonly random: () => number
  readonly disk: Disk
  /** The time on the wall. */
  readonly time: number
  /** Other processes have the same file. */
  readonly isShared?: boolean
}

/** The process. */
export class Life {
  readonly clock: VirtualClock
  readonly link: SimLink
  readonly disk: Disk
  readonly runtime: Runtime
  readonly pools = new Map<string, SimPool>()
  isOpen = false
  failure: unknown
  readonly #added = new Map<number, JobRecord>()
  readonly #broker: SqliteBroker
  /** By how much somebody had set the clock when the journal was told to close, which is told with that. */
  #setAtClose = 0

  constructor({ options, subject, host, random, disk, time, isShared = false }: LifeParts) {
    const clock = new VirtualClock(Math.floor(random() * 1e6) + 0.25, time)
    const wait = (): number => latency(random())
    this.clock = clock
    this.disk = disk
    this.link = new SimLink({
      clock,
      latency: wait,
      openFile: subject.openFile ?? ((setup) => disk.open(setup)),
      openJournal: subject.openJournal ?? ((setup, open) => new Journal(setup, open)),
      seen: (message) => this.#seeEnds(message, real, host),
    })
    const window = options.window ?? 4096
    const retention = { dead: Number.POSITIVE_INFINITY }
    const settings = { file: disk.path, durability: 'process', isShared, window, retention } as const
    const real = new SqliteBroker({ ...settings, logLimit: 100_000, patience: 0 }, this.link)
    this.#broker = real
    const finish = real.finish.bind(real)
    const add = real.add.bind(real)
    real.add = (job, after) => {
      this.#added.set(job.seq, job)
      add(job, after)
    }
    real.finish = (job, ended) => {
      host.finishing(job, ended.state)
      finish(job, ended)
    }
    this.runtime = new Runtime(
      {
        tasks,
        broker: subject.broker?.(real) ?? real,
        ...runtimeOptionsOf(options),
      },
      {
        clock,
        random,
        makePool: (parts) => {
          const pool = new SimPool({
            ...{ parts, clock, stillborn: options.stillborn, latency: wait, witness: host },
            behaviourOf: host.behaviourOf,
            nests: host.nests,
          })
          if (subject.host !== undefined) {
            const start = pool.start.bind(pool)
            pool.start = (poolHost) => start(subject.host?.(poolHost) ?? poolHost)
          }
          this.pools.set(parts.name, pool)
          return pool
        },
      },
    )
    this.runtime[engineOf].opened.then(
      () => {
        this.isOpen = true
      },
      (error: unknown) => {
        this.failure = error
      },
    )
  }

  /** Whether the next process knows by how much the clock was set. */
  get hasToldSteps(): boolean {
    return this.clock.set === (this.link.hasClosed ? this.#setAtClose : 0)
  }

  /** The record of a job that this process has accepted. */
  recordOf(id: string): JobRecord | undefined {
    return this.#added.get(this.runtime[engineOf].ids.seqOf(id) ?? 0)
  }

  /** The job that a call finds which adds an equal one now. */
  holderOf(uniqueKey: string): string | undefined {
    const holder = this.#broker.holderOf(uniqueKey)
    return holder === undefined ? undefined : this.runtime[engineOf].jobs.idOf(holder)
  }

  /** The broker itself ends jobs whose queueTimeout has passed: that is seen when it says so to the journal. */
  #seeEnds([kind, , , ops]: readonly unknown[], real: SqliteBroker, host: LifeHost): void {
    if (kind === TO_JOURNAL.close) this.#setAtClose = this.clock.set
    if (kind !== TO_JOURNAL.batch) return
    const list = ops as readonly number[]
    for (let at = 0; at < list.length; at += OP_LENGTH[list[at] as number] as number) {
      const job = list[at] === OP.finish ? real.get(list[at + 1] as number) : undefined
      if (job !== undefined) host.finishing(job, STATES[list[at + 3] as number] as JobState)
    }
  }

  /** The process is gone: nobody will hear of it again. */
  end(): void {
    this.link.drop()
    const { host, pending } = this.runtime[engineOf]
    // Or it would keep the process of the simulation alive.
    host.pendingChanged(-pending.count)
  }
}

/** Mostly short, sometimes long enough for anything to come in between. */
function latency(chance: number): number {
  return chance < 0.4 ? 0 : chance < 0.8 ? 0.1 : chance < 0.95 ? 2 : 9
}
