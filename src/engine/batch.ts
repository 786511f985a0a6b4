/** A batch: the jobs that one HTTP request added, and what becomes of them when its response is over. */
import { ignoreRejection, isThenable } from '../rules/arguments.ts'
import type { BatchLink, JobContext, JobRecord } from '../rules/job-record.ts'
import type { AnyTask } from '../rules/task.ts'
import { describeValue } from '../words/describe.ts'
import { isTerminal, type JobOptions, type ResponseFacts, type When } from '../words/job.ts'
import { unlessFull } from './acceptance.ts'
import type { Job } from './job.ts'

/** What a batch needs of the runtime. */
export interface BatchOwner {
  accept(task: string | AnyTask, payload: unknown, options: JobOptions | undefined, batch: Batch): Job
  release(job: JobRecord): void
  skip(job: JobRecord, reason: string): void
  /** Calls back after `handlerGrace`; returns the call that takes it back. */
  afterGrace(callback: () => void): () => void
}

/** How the jobs of a batch relate to each other. */
export interface BatchOptions {
  readonly order: 'sequential' | 'parallel'
  readonly onFailure: 'continue' | 'stop'
}

/** The jobs of one request. Made with the first of them; `settle` is called once, by whoever watches the response. */
export class Batch implements BatchLink {
  facts: ResponseFacts | null = null
  readonly #owner: BatchOwner
  readonly #options: BatchOptions
  /** Most batches have one job and need no array. */
  #held: JobRecord | JobRecord[] | null = null
  /** The jobs that go one after the other, down to the last that is not over; one alone, as above. */
  #chain: JobRecord | JobRecord[] | null = null
  /** The context that travels with the jobs. */
  readonly context: JobContext | undefined

  constructor(owner: BatchOwner, options: BatchOptions, context: JobContext | undefined) {
    this.#owner = owner
    this.#options = options
    this.context = context
  }

  get onFailure(): 'continue' | 'stop' {
    return this.#options.onFailure
  }

  /** Adds a job, which starts once the response is over. Throws the same typed errors as `enqueue`. */
  add(task: string | AnyTask, payload: unknown, options?: JobOptions): Job {
    return this.#owner.accept(task, payload, options, this)
  }

  /** As `add`, but null when the queue is full. */
  tryAdd(task: string | AnyTask, payload: unknown, options?: JobOptions): Job | null {
    return unlessFull(() => this.#owner.accept(task, payload, options, this))
  }

  /** The job that the next one of this batch waits for, when there is one. */
  link(job: JobRecord, order: 'sequential' | 'parallel' | undefined): JobRecord | null {
    if (this.facts === null) this.#hold(job)
    if ((order ?? this.#options.order) === 'parallel') return null
    if (this.#chain === null) {
      this.#chain = job
      return null
    }
    if (!Array.isArray(this.#chain)) this.#chain = [this.#chain]
    const chain = this.#chain
    // One that is over, cancelled perhaps, does not end the wait for those before it.
    let before = chain.at(-1)
    while (before !== undefined && isTerminal(before.state)) {
      chain.pop()
      before = chain.at(-1)
    }
    chain.push(job)
    return before ?? null
  }

  /** The response is over: every job that its end calls for is released, the others are skipped. */
  settle(facts: ResponseFacts): void {
    if (this.facts !== null) return
    this.facts = facts
    const held = this.#held
    this.#held = null
    if (Array.isArray(held)) for (const job of held) this.#let(job)
    else if (held !== null) this.#let(held)
  }

  /** Settles it with the facts as they are after `handlerGrace`; returns the call that takes it back. */
  giveGrace(facts: () => ResponseFacts): () => void {
    return this.#owner.afterGrace(() => this.settle(facts()))
  }

  /** Why a job does not run after the response as it ended; null when it does, or when that is still open. */
  refusal(job: JobRecord): string | null {
    return this.facts === null ? null : whyNot(job.extras?.when ?? job.entry.task.policy.when, this.facts)
  }

  /** Skips a job that was refused when it was added. */
  skip(job: JobRecord): void {
    this.#owner.skip(job, job.extras?.reason ?? '')
  }

  #hold(job: JobRecord): void {
    if (this.#held === null) this.#held = job
    else if (Array.isArray(this.#held)) this.#held.push(job)
    else this.#held = [this.#held, job]
  }

  /** Lets a held job go: to the threads, or nowhere. */
  #let(job: JobRecord): void {
    const refusal = this.refusal(job)
    if (refusal === null) this.#owner.release(job)
    else this.#owner.skip(job, refusal)
  }
}

/** Why a job does not run after such a response; null when it does. A predicate that throws refuses. */
export function whyNot(when: When, facts: ResponseFacts): string | null {
  const hasFailed = facts.statusCode >= 500 || facts.error !== undefined
  switch (when) {
    case 'always':
      return null
    case 'ok':
      if (facts.error !== undefined) return `the request failed: ${nameOf(facts.error)}`
      return hasFailed ? `the response failed with status ${facts.statusCode}` : null
    case 'error':
      return hasFailed ? null : `the response did not fail (status ${facts.statusCode})`
    default:
      try {
        return ofPredicate(when(facts), facts)
      } catch (error) {
        return `${FAULTY} threw ${nameOf(error)}`
      }
  }
}

const FAULTY = 'its predicate'

function ofPredicate(answer: unknown, { statusCode, outcome }: ResponseFacts): string | null {
  if (answer === true) return null
  if (answer === false) return `its predicate refused the response (status ${statusCode}, ${outcome})`
  // A promise is true to whoever asks, and nobody would hear of its rejection.
  if (isThenable(answer)) ignoreRejection(answer)
  return `${FAULTY} returned ${describeValue(answer)}; expected true or false`
}

/** True when a job was skipped since its predicate is at fault, which somebody should see. */
export function isFaultOfPredicate(reason: string): boolean {
  return reason.startsWith(`${FAULTY} threw`) || reason.startsWith(`${FAULTY} returned`)
}

function nameOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
