/**
 * The order of a batch in which a job stands that other calls ask for as well. The broker orders jobs of one batch by
 * itself, but a shared job belongs to several; so such a batch lets its jobs go one by one.
 */
import { JobRecord } from '../rules/job-record.ts'
import { isTerminal, type When } from '../words/job.ts'

/** The call of a batch for a job that other calls ask for as well. */
export interface SharedCall {
  readonly record: JobRecord
  when: When
  /** When its response called for the job, on the monotonic clock; undefined before. */
  calledAt: number | undefined
  readonly isTakenBack: boolean
  /** True when it is over, as far as its batch goes. */
  readonly isOver: boolean
  /** It is its turn in its batch. */
  ask(): void
  /** Its batch does not ask for the job any more, and this is why. */
  refuse(reason: string): void
}

/** Who stands in a batch: a job of its own, or its call for a job that it shares. */
export type Member = JobRecord | SharedCall

// Below so many places that were passed it is not worth the copy.
const FEW = 64

/** The members of a batch that go one after the other, first come first. */
export class Sequence {
  #members: Member[]
  readonly #set: Set<Member>
  #passed = 0

  constructor(jobs: readonly JobRecord[]) {
    this.#members = [...jobs]
    this.#set = new Set(jobs)
  }

  /** Adds one at the end. Returns the last job of the batch's own before it that is not over. */
  add(member: Member): JobRecord | null {
    const before = this.#members.findLast((other) => other instanceof JobRecord && mayWaitFor(other))
    this.#members.push(member)
    this.#set.add(member)
    return (before as JobRecord | undefined) ?? null
  }

  has(member: Member): boolean {
    return this.#set.has(member)
  }

  replace(job: JobRecord, call: SharedCall): void {
    const at = this.#members.indexOf(job)
    if (at < 0) return
    this.#members[at] = call
    this.#set.delete(job)
    this.#set.add(call)
  }

  /** The first that others have to wait for: everybody before it is passed for good. */
  first(): Member | undefined {
    let member = this.#members[this.#passed]
    while (member !== undefined && isPassed(member)) {
      this.#set.delete(member)
      member = this.#members[++this.#passed]
    }
    if (this.#passed > FEW && this.#passed * 2 > this.#members.length) {
      this.#members = this.#members.slice(this.#passed)
      this.#passed = 0
    }
    return member
  }

  /** Those behind a job, or behind the call for it, that are not over. */
  behind(job: JobRecord): Member[] {
    const at = this.#members.findIndex(
      (member) =>
        member === job || (!(member instanceof JobRecord) && member.record === job && !member.isTakenBack),
    )
    return at < 0 ? [] : this.#members.slice(at + 1).filter((member) => !isOver(member))
  }
}

/** True when the broker can let another wait for this job. One that has ended may be nowhere before that is told. */
export function mayWaitFor({ state, extras }: JobRecord): boolean {
  return !isTerminal(state) && extras?.isRevived !== true
}

/** True when nobody behind it has to wait for it. A job that was revived once is not waited for again. */
export function isPassed(member: Member): boolean {
  return isOver(member) || (member instanceof JobRecord && member.extras?.isRevived === true)
}

/** True when it is over, as far as its batch goes. */
export function isOver(member: Member): boolean {
  return member instanceof JobRecord ? hasEnded(member) : member.isOver
}

/** True when a job is over and that was told: a durable broker tells of an end once it is written. */
function hasEnded(job: JobRecord): boolean {
  return isTerminal(job.state) && job.extras?.isUnreported !== true
}
