/** Jobs that are not with this process: to end one in the store, to have one cancelled where it runs, to revive one. */
import type { Clock } from '../../words/clock.ts'
import { TaskCancelledError } from '../../words/errors.ts'
import { isTerminal } from '../../words/job.ts'
import type { Ended } from '../broker.ts'
import type { EndedJobs } from './ended-jobs.ts'
import type { Writes } from './insist.ts'
import { type Lines, lineOfKey, memberOf } from './lines.ts'
import type { Found, Lookups } from './lookups.ts'
import type { Store } from './store.ts'
import { bullPriority, type StoredData, type StoredEnd, toEnd } from './stored-job.ts'
import { markOf, progressOf } from './stored-progress.ts'

/** The channel on which every process hears what is to be cancelled. */
export const CANCEL_CHANNEL = 'cancel'
// A request to cancel can get lost: it is made again until the job is over, or for so long.
const ASK_EVERY = 500
const ASK_FOR = 600_000

/** What this needs of the broker. */
export interface ElsewhereHost {
  readonly clock: Clock
  /** What the store says of a job: whoever accepted it here takes note. */
  found(id: string, found: Found | undefined): void
  /** Tells the process that accepted the job. */
  tell(id: string, state: 'cancelled', attempts: number, reviver: string | undefined): void
}

interface ElsewhereParts {
  readonly store: Store
  readonly writes: Writes
  readonly lines: Lines
  readonly ended: EndedJobs
  readonly lookups: Lookups
}

interface Asking {
  /** Of the task. */
  readonly name: string
  /** As the caller gave it. */
  readonly reason: unknown
  readonly until: number
}

/** Reaches for jobs in the store and in other processes. */
export class Elsewhere {
  readonly #parts: ElsewhereParts
  readonly #host: ElsewhereHost
  readonly #asking = new Map<string, Asking>()
  #stopTimer: (() => void) | undefined

  constructor(parts: ElsewhereParts, host: ElsewhereHost) {
    this.#parts = parts
    this.#host = host
  }

  /** Cancels a job wherever it is. */
  cancel(id: string, name: string, reason: unknown): void {
    const asking = { name, reason, until: this.#host.clock.now() + ASK_FOR }
    this.#asking.set(id, asking)
    void this.#parts.writes.insist(() => this.#cancel(id, asking)).catch(() => {})
    this.#arm()
  }

  async #cancel(id: string, { name, reason }: Asking): Promise<void> {
    const error = new TaskCancelledError(name, reason)
    const isOver = await this.end(id, { state: 'cancelled', error })
    if (isOver || !this.#asking.has(id)) return void this.#asking.delete(id)
    this.#parts.store.publish(CANCEL_CHANNEL, JSON.stringify({ id, reason: textOf(reason) }))
  }

  #arm(): void {
    this.#stopTimer ??= this.#host.clock.timer(ASK_EVERY, () => {
      this.#stopTimer = undefined
      const now = this.#host.clock.now()
      for (const [id, asking] of this.#asking) {
        if (asking.until < now) this.#asking.delete(id)
        else void this.#cancel(id, asking).catch(() => {})
      }
      if (this.#asking.size > 0) this.#arm()
    })
  }

  /** Ends a job that waits in the store. False when it runs; true when it is over. */
  async end(id: string, ended: Ended, queue?: string): Promise<boolean> {
    const { store, ended: endedJobs, lookups } = this.#parts
    const found = await lookups.find(id, queue)
    if (found === undefined || isTerminal(found.state)) {
      this.#host.found(id, found)
      return true
    }
    if (found.state === 'running') return false
    const data = this.#endedData(found, ended)
    // First what became of it, then its removal: a job must not vanish between the two.
    await endedJobs.put(id, found.json.name, data)
    if ((await store.queue(found.queue).backend.remove(id, false)) !== 1) {
      await endedJobs.remove(id)
      return false
    }
    await this.#leaveLines(found, ended)
    this.#host.found(id, { ...found, data, state: ended.state })
    this.#host.tell(id, 'cancelled', data.end.n, data.by)
    return true
  }

  #endedData({ json, data, queue }: Found, ended: Ended): StoredData & { end: StoredEnd } {
    const { n } = progressOf(json, data.past)
    const attempts = Math.max(n, data.revived ?? 0)
    const end = toEnd(attempts, queue, this.#host.clock.wall(), ended, markOf(json) ?? data.past)
    const left = { ...data, past: undefined, end }
    // A dead job can be revived; no other has a use for its payload.
    return ended.state === 'dead' ? left : { ...left, p: undefined, b: undefined }
  }

  async #leaveLines({ id, queue, data }: Found, { state }: Ended): Promise<void> {
    const { lines } = this.#parts
    const member = memberOf(queue, id)
    const stops = state === 'dead' && data.stops === true
    if (data.line !== undefined) await lines.leave(data.line, member, stops)
    if (data.key !== undefined) await lines.leave(lineOfKey(data.key), member, false)
  }

  /** A dead job starts over. `by`: what the ids of this process start with. */
  async revive(id: string, by: string): Promise<void> {
    const { store, ended, lookups } = this.#parts
    const found = await lookups.find(id)
    if (found?.state !== 'dead') return
    const { json, queue } = found
    const past = found.data.end?.past ?? markOf(json) ?? found.data.past
    const data: StoredData = { ...found.data, end: undefined, line: undefined, q: undefined, past, by }
    if (found.data.end !== undefined) {
      const opts = { jobId: id, timestamp: data.a, priority: bullPriority(data.priority) }
      await store.queue(queue).add(json.name, { ...data, revived: found.data.end.n }, opts)
      await ended.remove(id)
      return
    }
    const { backend } = store.queue(queue)
    const job = { id, opts: {} } as never
    await backend.updateData(job, { ...data, revived: attemptsOf(found) } as never)
    await backend.retryFinishedJob(job, 'failed', {})
  }

  /** Forgets a job that is over; false when it is not. */
  async remove(id: string): Promise<boolean> {
    const { store, ended, lookups } = this.#parts
    const found = await lookups.find(id)
    if (found === undefined || !isTerminal(found.state)) return false
    if (found.data.end !== undefined) return ended.remove(id)
    return (await store.queue(found.queue).backend.remove(id, false)) === 1
  }

  close(): void {
    this.#stopTimer?.()
    this.#asking.clear()
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

function attemptsOf({ json, data }: Found): number {
  return Math.max(progressOf(json, data.past).n, data.revived ?? 0)
}
