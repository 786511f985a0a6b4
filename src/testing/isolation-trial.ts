/** One handler on a thread of its own, where each run is looked at. */
import { engineOf, Runtime } from '../engine/runtime.ts'
import type { ThreadLane } from '../pools/lane.ts'
import { PiscinaSource } from '../pools/piscina.ts'
import type { Pool } from '../pools/pool.ts'
import { ThreadPool } from '../pools/thread-pool.ts'
import { ISOLATION_LINE, type RunSeen } from '../rules/isolation-protocol.ts'
import { type AnyTask, withPolicy } from '../rules/task.ts'
import { ISOLATION_THREAD } from '../rules/thread-entries.ts'
import { systemClock } from '../words/clock.ts'
import type { JobOptions, Settlement } from '../words/job.ts'

/** How a run went. */
export interface Run extends Settlement {
  /** Milliseconds that the attempt took, when it completed. */
  readonly ran: number
  /** What the thread saw after it. */
  readonly seen: RunSeen | undefined
  /** Errors that escaped the handler. */
  readonly escaped: readonly Error[]
  /** True when the thread was ended, has ended, or is to be replaced. */
  readonly endedThread: boolean
  /** True when the thread was ended because the handler went on beyond its grace. */
  readonly overstayed: boolean
}

/** A pool without threads: those of other handlers have no part in it. */
const none: Omit<Pool, 'name'> = {
  lanes: new Set(),
  start() {},
  ready: async () => [],
  size: () => ({ threads: 0, max: 0 }),
  grow() {},
  tellStarts() {},
  stop: async () => {},
  hurry() {},
  hasStuckThread: false,
}

/** Tries one handler: its jobs run one at a time, and the jobs that it adds do not run. */
export class Trial {
  readonly #task: AnyTask
  readonly #payload: unknown
  readonly #runtime: Runtime<AnyTask>
  #seen: RunSeen | undefined
  #escaped: Error[] = []
  #pool: ThreadPool | undefined
  #onThread: () => void = () => {}
  #ran = 0
  #own = ''
  readonly #added: string[] = []

  /** `of`: the runtime whose handler it is, with its settings. */
  constructor(of: Runtime<AnyTask>, task: AnyTask, payload: unknown) {
    this.#task = task
    this.#payload = payload
    const { options } = of[engineOf]
    const {
      threads: _,
      min: _min,
      max: _max,
      recycle: _recycle,
      ...pool
    } = (task.policy.pool === 'default' ? options.pool : options.pools[task.policy.pool]) ?? options.pool
    const alone = { ...pool, threads: 1, concurrency: 1, isolation: 'thread' as const, niceness: 0 }
    this.#runtime = new Runtime<AnyTask>(
      {
        // One run is one attempt, also one that takes the thread with it.
        tasks: of.tasks.map((each) => withPolicy(each, { onCrash: 'fail', retry: undefined })),
        ...{ timeout: options.timeout, killGrace: options.killGrace, log: false },
        pool: alone,
        pools: Object.fromEntries(Object.keys(options.pools).map((name) => [name, alone])),
        bundles: { max: 1 },
      },
      {
        clock: systemClock,
        random: Math.random,
        makePool: (parts) => {
          if (parts.name !== task.policy.pool) return { ...none, name: parts.name }
          const handlers = parts.handlers.map((location) => (location?.task === task.name ? location : null))
          this.#pool = new ThreadPool(
            { ...parts, handlers },
            new PiscinaSource(parts.options, ISOLATION_THREAD),
          )
          return this.#pool
        },
      },
    )
    this.#listen()
  }

  /** Milliseconds that the handler has to end after it was asked to. */
  get grace(): number {
    return this.#task.policy.killGrace ?? this.#runtime[engineOf].options.killGrace
  }

  /** Milliseconds that one attempt may run. */
  get timeout(): number {
    return this.#task.policy.timeout ?? this.#runtime[engineOf].options.timeout
  }

  /** Resolves once the handler is imported. Throws what `ready` of a runtime throws. */
  ready(): Promise<void> {
    return this.#runtime.ready()
  }

  /** Runs the handler once. `cancels`: the job is cancelled as soon as it runs. Throws what adding the job throws. */
  async run(options: JobOptions = {}, cancels = false): Promise<Run> {
    this.#seen = undefined
    this.#escaped = []
    const before = await this.#laneUp()
    const { promise: started, resolve: start } = Promise.withResolvers<void>()
    const onStart = (): void => {
      this.#runtime.pause()
      start()
    }
    this.#runtime.on('job:started', onStart)
    const alone = { maxAttempts: 1, unique: false, queueTimeout: Number.POSITIVE_INFINITY, ...options }
    try {
      this.#own = ''
      const job = this.#runtime.enqueue(this.#task.name, this.#payload, alone)
      this.#own = job.id
      if (cancels) void started.then(() => job.cancel('The isolation suite cancels it.'))
      const settlement = await job.settled
      // An error that escapes is told a turn later.
      await new Promise<void>((resolve) => systemClock.soon(resolve))
      await this.#clear()
      // Charged to the attempt, where it had not ended.
      if (before.isBroken && settlement.error !== undefined) this.#escaped.push(settlement.error)
      const endedThread = this.#lane() !== before
      // A thread that an error has escaped to is ended as well, once it has said its last.
      const overstayed = before.isKilled && !before.isBroken
      const run = { ran: this.#ran, seen: this.#seen, escaped: this.#escaped, endedThread, overstayed }
      return { ...settlement, ...run }
    } finally {
      this.#runtime.off('job:started', onStart)
      this.#runtime.resume()
    }
  }

  /** The thread that takes jobs. */
  #lane(): ThreadLane | undefined {
    return [...(this.#pool?.lanes ?? [])].find((lane) => !lane.retiring)
  }

  /** The same, once it is up: the one before it may just have ended. */
  async #laneUp(): Promise<ThreadLane> {
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#onThread = resolve
      const lane = this.#lane()
      if (lane !== undefined) return lane
      await promise
    }
  }

  async stop(): Promise<void> {
    await this.#runtime.stop({ timeout: 0 })
  }

  /** What the handler has added does not run. */
  async #clear(): Promise<void> {
    const added = this.#added.splice(0).filter((id) => id !== this.#own)
    await Promise.all(added.map((id) => this.#runtime.cancel(id)))
  }

  #listen(): void {
    const runtime = this.#runtime
    runtime.on('job:log', ({ message, data }) => {
      if (message === ISOLATION_LINE) this.#seen = data as RunSeen
    })
    runtime.on('job:enqueued', ({ job }) => this.#added.push(job.id))
    runtime.on('job:completed', ({ ran }) => {
      this.#ran = ran
    })
    runtime.on('thread:started', () => this.#onThread())
    runtime.on('thread:error', ({ error }) => this.#escaped.push(error))
  }
}
