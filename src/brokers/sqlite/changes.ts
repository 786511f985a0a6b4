/** Changes of jobs that wait: asked of the journal, which has them, and followed by the records that are at hand. */
import type { JobRecord } from '../../rules/job-record.ts'
import { CHANGE, OP } from '../../rules/journal-protocol.ts'
import { isTerminal } from '../../words/job.ts'
import type { JobChange, JobChanges } from '../port/broker.ts'
import type { JobsHere } from './jobs-here.ts'
import type { Outbox } from './outbox.ts'

interface Asked {
  readonly job: JobRecord
  readonly change: JobChange
  readonly isGranted: boolean
  readonly resolve: (outcome: number) => void
}

/** Changes jobs of the journal. */
export class Changes implements JobChanges {
  readonly #here: JobsHere
  readonly #outbox: Outbox
  /** What is asked and not answered, by its token. */
  readonly #asked = new Map<number, Asked>()
  #tokens = 0
  #isClosed = false

  constructor(here: JobsHere, outbox: Outbox) {
    this.#here = here
    this.#outbox = outbox
  }

  async change(given: JobRecord, change: JobChange): Promise<boolean> {
    for (;;) {
      const outcome = await this.#ask(this.#here.records.get(given.seq) ?? given, change)
      // Granted meanwhile, it is here by now: it is asked again about the record that has come.
      if (outcome !== CHANGE.granted) return outcome === CHANGE.done
      if (!this.#here.records.window.has(given.seq)) return false
    }
  }

  #ask(job: JobRecord, change: JobChange): Promise<number> {
    const isGranted = this.#here.records.window.has(job.seq)
    const { state, extras } = job
    // What may bring its process down is about to start once that is on record.
    const hasBegun = state === 'running' || (isGranted && extras?.isSuspect === true)
    if (this.#isClosed || hasBegun || isTerminal(state)) return Promise.resolve(CHANGE.refused)
    const { promise, resolve } = Promise.withResolvers<number>()
    const token = ++this.#tokens
    this.#asked.set(token, { job, change, isGranted, resolve })
    const { priority, dueAt, payload } = change
    const due = dueAt === undefined ? null : this.#here.wall(dueAt)
    const { ops } = this.#outbox.next
    ops.push(OP.change, job.seq, token, isGranted ? 1 : 0, priority ?? null, due)
    ops.push(payload === undefined ? 0 : 1, payload?.encoded ?? null)
    // Before it could be claimed as it was.
    if (isGranted) this.#changeHere(job, change)
    return promise
  }

  #changeHere(job: JobRecord, change: JobChange): void {
    this.#apply(job, change)
    if (change.dueAt !== undefined && this.#here.isLater(change.dueAt)) this.#here.putOff(job)
    else if (change.priority !== undefined) this.#here.ready.moved(job)
  }

  #apply(job: JobRecord, { priority, dueAt, payload }: JobChange): void {
    if (payload !== undefined) job.payload = payload.encoded
    if (priority !== undefined) job.priority = priority
    if (dueAt === undefined || job.state === 'retryable') return
    const { more } = job
    more.dueAt = dueAt
    if (job.state === 'held') more.delay = undefined
  }

  /** What came of changes, before anything else that the same reply says of their jobs. */
  told(outcomes: readonly number[]): void {
    for (let at = 0; at < outcomes.length; at += 2) {
      const token = outcomes[at] as number
      const asked = this.#asked.get(token)
      if (asked === undefined) continue
      this.#asked.delete(token)
      const outcome = outcomes[at + 1] as number
      const { job, change, isGranted } = asked
      const known = this.#here.records.get(job.seq)
      if (outcome === CHANGE.done && !isGranted && known !== undefined && !isTerminal(known.state))
        this.#apply(known, change)
      asked.resolve(outcome)
    }
  }

  /** Nothing more will be answered. */
  close(): void {
    this.#isClosed = true
    for (const { resolve } of this.#asked.values()) resolve(CHANGE.refused)
    this.#asked.clear()
  }
}
