/** The accounts between two processes: what was promised, against what the file holds. */
import { isTerminal, type TerminalState } from '../../../src/words/job.ts'
import type { DurableChecks } from './durable-checks.ts'
import type { DurableJob, DurableModel } from './durable-model.ts'
import type { StoredJob } from './journal-files.ts'

/** How a process has ended. */
export interface EndedLife {
  /** Its number. */
  readonly life: number
  /** It has stopped, and its journal has closed behind it. */
  readonly isClean: boolean
  /** Its file had lost its name, and is back: what it gave up for lost is found there. */
  readonly wasAway: boolean
}

/** Settles accounts whenever a process has ended. */
export class Accounts {
  readonly #model: DurableModel
  readonly #checks: DurableChecks
  /** Finished jobs may have been let go of. */
  readonly #forgets: boolean

  constructor(model: DurableModel, checks: DurableChecks, forgets: boolean) {
    this.#model = model
    this.#checks = checks
    this.#forgets = forgets
  }

  /** What the file holds decides what becomes of each job; what was promised decides what the file must hold. */
  settle(stored: ReadonlyMap<string, StoredJob>, ended: EndedLife): void {
    const model = this.#model
    const missing = new Map<number, DurableJob>()
    for (const job of model.jobs) {
      if (job.over === 'gone') continue
      const row = stored.get(job.id)
      if (ended.wasAway && job.over !== undefined && row?.state !== job.over) this.#comesBack(job, row)
      if (job.over === 'lost')
        model.expect(row === undefined, () => `${job.id} was told to be lost, and is in the file`)
      else if (job.over !== undefined) this.#isStillOver(job, row)
      else if (row === undefined) this.#isMissing(job, missing)
      else this.#goesOn(job, row, ended)
    }
    for (const job of model.jobs) {
      if (job.life !== ended.life || job.over === 'gone' || job.over === 'lost') continue
      const lost = missing.get(job.call)
      model.expect(
        lost === undefined,
        () => `${job.id} is in the file, and ${lost?.id} of the same call is not`,
      )
    }
    for (const id of stored.keys())
      model.expect(model.byId.has(id), () => `${id} is in the file, and nobody has added it`)
  }

  /** The end that was told of it could not be written to a file that was away. */
  #comesBack(job: DurableJob, row: StoredJob | undefined): void {
    if (row === undefined) job.isUnwritten ||= !this.#forgets
    else this.#model.comesBack(job)
  }

  #isStillOver(job: DurableJob, row: StoredJob | undefined): void {
    const isRight = row === undefined ? this.#forgets || job.isUnwritten : row.state === job.over
    const found = row?.state ?? 'not there'
    // When no file is open, only the next process can tell.
    job.isUnwritten &&= row === undefined
    this.#model.expect(isRight, () => `${job.id} was told to be ${job.over}, and in the file it is ${found}`)
  }

  #isMissing(job: DurableJob, missing: Map<number, DurableJob>): void {
    const model = this.#model
    const mayHaveEnded =
      job.ending !== undefined || job.mayBeDuplicate || job.isCharged || job.batch?.stops === true
    const isDropped = this.#forgets && mayHaveEnded
    model.expect(!job.isStored || isDropped, () => `${job.id} was stored, and is not in the file`)
    model.expect(!job.hasBeenSent || isDropped, () => `${job.id} ran, and is not in the file`)
    if (!isDropped) missing.set(job.call, job)
    model.ended(job, 'gone')
  }

  #goesOn(job: DurableJob, row: StoredJob, { isClean, life }: EndedLife): void {
    const model = this.#model
    const { state } = row
    if (isTerminal(state)) return this.#checks.endedUntold(job, state as TerminalState, row.attempts)
    const isCharged = !isClean && state === 'running'
    model.expect(
      row.attempts <= job.starts + life,
      () => `${job.id} has ${row.attempts} attempts on record of ${job.starts}`,
    )
    model.expect(
      !isCharged || job.hasBeenSent || job.isSuspect,
      () => `${job.id} never ran, and is on record as running`,
    )
    model.expect(!(isClean && state === 'running'), () => `${job.id} is on record as running after a stop`)
    job.isStored = true
    // How its response ended may not have been written: what is held goes on.
    job.isExempt = job.batch !== undefined
    job.ending = undefined
    job.isSent = false
    job.isExecuting = false
    job.isCancelled = false
    job.cancelAsked = false
    job.isBack = false
    job.counted = row.attempts
    job.failures = row.failures
    job.crashes = row.crashes + (isCharged ? 1 : 0)
    job.isCharged = isCharged
    // The response of a held job ends with its process: its delay counts from then, or from when it is taken over.
    const due = row.due === null ? 0 : row.due - model.setBefore
    const isDelayed = state === 'held' && job.spec.delay !== undefined
    job.dueAt = isDelayed ? model.time() + (job.spec.delay ?? 0) : due
    job.retryAt = state === 'retryable' ? due : 0
    job.isSuspect = row.isOwned ? !isClean && state !== 'held' : row.isSuspect
    job.mayBeDuplicate &&= !job.hasBeenSent
  }
}
