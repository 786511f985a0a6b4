/** Stopping: accept no more, let what was accepted finish, and past the deadline say by name what did not. */
import type { Clock } from '../words/clock.ts'

/** A job that a stop leaves unfinished. */
export interface Unfinished {
  readonly id: string
  readonly name: string
}

/** What `stop` resolves to. */
export interface StopReport {
  /** Jobs that completed while the runtime was stopping. */
  readonly completed: number
  /** Jobs that became dead while it was stopping. */
  readonly failed: number
  /** Jobs that did not finish and are gone: the broker keeps nothing. */
  readonly lost: readonly Unfinished[]
  /** Jobs that did not finish and go on at the next start: the broker keeps them. The newest 1,000 at most. */
  readonly left: readonly Unfinished[]
}

/** What the lifecycle asks of the runtime. */
export interface LifecycleHost {
  readonly clock: Clock
  /** True when nothing is left that could finish before `deadline`. */
  isDrained(deadline: number): boolean
  /** Past the deadline: no further job starts, and running attempts are asked to end. */
  abortRunning(): void
  /** True while a thread still has a job. */
  hasRunning(): boolean
  /** Milliseconds that handlers have between the soft abort and the end of their thread. */
  killGrace(): number
  /** Ends every thread and gives up what is unfinished; returns the report. */
  finish(): Promise<StopReport>
}

/** The one stop of a runtime. */
export class Lifecycle {
  #host!: LifecycleHost
  #phase: 'running' | 'stopping' | 'aborting' | 'stopped' = 'running'
  #deadline = Number.POSITIVE_INFINITY
  #clearTimer: (() => void) | undefined
  #isToLook = false
  readonly #done = Promise.withResolvers<StopReport>()

  /** What ends takes part in the work that asks for the phase, so it comes after. Called once, before any `stop`. */
  attach(host: LifecycleHost): void {
    this.#host = host
  }

  get phase(): 'running' | 'stopping' | 'stopped' {
    return this.#phase === 'aborting' ? 'stopping' : this.#phase
  }

  /** Begins to stop, or brings the deadline of a stop under way nearer; it is never put off. */
  stop(timeout: number): Promise<StopReport> {
    const { clock } = this.#host
    const deadline = clock.now() + timeout
    if (this.#phase === 'running') this.#phase = 'stopping'
    if (this.#phase === 'stopping' && deadline < this.#deadline) {
      this.#deadline = deadline
      this.#clearTimer?.()
      this.#clearTimer =
        timeout === Number.POSITIVE_INFINITY ? undefined : clock.timer(timeout, () => this.#abort())
    }
    this.look()
    return this.#done.promise
  }

  /** Something has ended: is that all? Asked in a moment: who tells of the end of a job frees the one behind it after that. */
  look(): void {
    if (this.#isToLook) return
    this.#isToLook = true
    queueMicrotask(() => {
      this.#isToLook = false
      if (this.#phase === 'stopping' && this.#host.isDrained(this.#deadline)) this.#finish()
      else if (this.#phase === 'aborting' && !this.#host.hasRunning()) this.#finish()
    })
  }

  #abort(): void {
    if (this.#phase !== 'stopping') return
    this.#phase = 'aborting'
    this.#host.abortRunning()
    // The watch ends threads after the grace; this is for a thread that even then does not go.
    this.#clearTimer = this.#host.clock.timer(this.#host.killGrace() * 2 + 1000, () => this.#finish())
    this.look()
  }

  #finish(): void {
    if (this.#phase === 'stopped') return
    this.#phase = 'stopped'
    this.#clearTimer?.()
    this.#host.finish().then(this.#done.resolve, this.#done.reject)
  }
}
