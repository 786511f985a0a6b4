/** One process of a file that is shared: a life of its own, in the time of the machine that all of them are on. */
import { engineOf, type Runtime } from '../../../src/engine/runtime.ts'
import type { JobRecord } from '../../../src/rules/job-record.ts'
import { Life, type LifeHost, type LifeParts } from '../durable/life.ts'
import type { SimPool } from '../sim-pool.ts'
import type { VirtualClock } from '../virtual-clock.ts'

/** The process. */
export class SharedProcess {
  readonly number: number
  readonly life: Life
  readonly clock: VirtualClock
  readonly runtime: Runtime
  readonly pools: ReadonlyMap<string, SimPool>
  /** Nothing keeps a process from its file, and the file tells each what it has. */
  readonly client = { isConnected: true, knows: () => true }
  isGone = false
  frozenUntil = 0
  troubledUntil = Number.NEGATIVE_INFINITY
  readonly #now: () => number
  readonly #zero: number
  readonly #born: number

  constructor(
    number: number,
    now: () => number,
    parts: Omit<LifeParts, 'host'>,
    host: (made: SharedProcess) => LifeHost,
  ) {
    this.number = number
    this.#now = now
    this.#born = now()
    this.life = new Life({ ...parts, isShared: true, host: host(this) })
    this.clock = this.life.clock
    this.runtime = this.life.runtime
    this.pools = this.life.pools
    this.#zero = this.clock.now()
  }

  /** What the ids of its jobs start with. */
  get prefix(): string {
    return this.runtime[engineOf].ids.prefix
  }

  idOf(job: JobRecord): string {
    return job.extras?.id ?? this.runtime[engineOf].jobs.idOf(job)
  }

  recordOf(id: string): JobRecord | undefined {
    return this.life.recordOf(id)
  }

  get isFrozen(): boolean {
    return this.frozenUntil > this.#now()
  }

  /** When something happens in it next, in true time. */
  next(): number {
    if (this.isGone) return Number.POSITIVE_INFINITY
    return Math.max(this.#born + this.clock.next() - this.#zero, this.frozenUntil)
  }

  /** Brings its clock to the true time, or to an event that is due by then. */
  keepUp(event = 0): void {
    this.clock.moveTo(Math.max(event, this.#zero + this.#now() - this.#born))
  }

  setWall(): void {}

  end(): void {
    this.isGone = true
    this.life.end()
  }
}
