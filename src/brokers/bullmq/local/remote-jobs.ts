/** Jobs that are not with this process: to end one in the store, and to have one cancelled where it runs. */
import type { Clock } from '../../../words/clock.ts'
import { TaskCancelledError } from '../../../words/errors.ts'
import type { Retries } from '../../lifecycle/retries.ts'
import type { Ending } from '../../port/attempt.ts'
import type { SharedStore } from '../store/shared-store.ts'
import type { Settlements } from './settlements.ts'

/** The topic on which every process hears what is to be cancelled. */
export const CANCEL_TOPIC = 'cancel'
// A request to cancel can get lost: it is made again until the job is over, or for so long.
const ASK_EVERY = 500
const ASK_FOR = 600_000

interface Request {
  /** Of the task. */
  readonly name: string
  /** As the caller gave it. */
  readonly reason: unknown
  readonly until: number
}

/** Reaches for jobs in the store and in other processes. */
export class RemoteJobs {
  readonly #store: SharedStore
  readonly #retries: Retries
  readonly #clock: Clock
  readonly #settlements: Settlements
  readonly #requests = new Map<string, Request>()
  #stopTimer: (() => void) | undefined

  constructor(store: SharedStore, retries: Retries, clock: Clock, settlements: Settlements) {
    this.#store = store
    this.#retries = retries
    this.#clock = clock
    this.#settlements = settlements
  }

  /** Cancels a job wherever it is. Resolves once it is cancelled, or whoever runs it has been asked. */
  async cancel(id: string, name: string, reason: unknown): Promise<void> {
    const request = { name, reason, until: this.#clock.now() + ASK_FOR }
    this.#requests.set(id, request)
    this.#arm()
    // A store that is closed meanwhile is not asked any more.
    await this.#retries.retry(() => this.#cancel(id, request)).catch(() => {})
  }

  async #cancel(id: string, request: Request): Promise<void> {
    const { name, reason } = request
    const error = new TaskCancelledError(name, reason)
    const isOver = await this.end(id, { state: 'cancelled', error })
    // A later request, as for a job that has started over meanwhile, looks after itself.
    if (this.#requests.get(id) !== request) return
    if (isOver) return void this.#requests.delete(id)
    this.#store.publish(CANCEL_TOPIC, JSON.stringify({ id, reason: textOf(reason) }))
  }

  #arm(): void {
    this.#stopTimer ??= this.#clock.timer(ASK_EVERY, () => {
      this.#stopTimer = undefined
      const now = this.#clock.now()
      for (const [id, request] of this.#requests) {
        if (request.until < now) this.#requests.delete(id)
        // After a fault it is asked for again by the next look.
        else void this.#cancel(id, request).catch(() => {})
      }
      if (this.#requests.size > 0) this.#arm()
    })
  }

  /** Ends a job that waits in the store. False when it runs; true when it is over. */
  async end(id: string, ended: Ending, queue?: string): Promise<boolean> {
    const { isRunning, isDone, job } = await this.#store.directory.finish(id, ended, queue)
    if (isRunning) return false
    if (job === undefined) return true
    this.#settlements.take(job)
    const why = ended.state === 'dead' ? ended.error?.message : ended.reason
    if (isDone) this.#settlements.tell(id, ended.state, job.left.n, why, job.data.by)
    return true
  }

  close(): void {
    this.#stopTimer?.()
    this.#requests.clear()
  }
}

/** What another process is told of a reason. A reason that cannot be shown as text is none there. */
function textOf(reason: unknown): string | undefined {
  if (reason === undefined) return undefined
  try {
    return reason instanceof Error ? reason.message : String(reason)
  } catch {
    return undefined
  }
}
