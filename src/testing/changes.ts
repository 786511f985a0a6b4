/** Waiting for what happens in a runtime, without waiting for time. */
import type { Runtime } from '../engine/runtime.ts'
import type { EventName } from '../words/events.ts'
import type { TerminalState } from '../words/job.ts'

/** How a job of a runtime may end: `lost` when the runtime stopped first. */
export type End = TerminalState | 'lost'

type EndListener = (state: End, id: string, error: Error | undefined) => void

const ENDS = ['completed', 'dead', 'cancelled', 'skipped', 'lost'] as const
const OTHERS = ['job:progress', 'job:retrying', 'job:interrupted'] as const satisfies readonly EventName[]

/** Counts what happens to the jobs of a runtime, and calls back whoever waits for more. */
export class Changes {
  /** How much has happened so far. */
  count = 0
  readonly #waiting = new Set<() => void>()
  readonly #ends = new Set<EndListener>()
  readonly #started = new Set<string>()
  readonly #onChange: () => void

  // biome-ignore lint/suspicious/noExplicitAny: whatever its tasks.
  constructor(runtime: Runtime<any>, onChange: () => void) {
    this.#onChange = onChange
    runtime.on('job:started', ({ job }) => {
      this.#started.add(job.id)
      this.note()
    })
    for (const name of OTHERS) runtime.on(name, () => this.note())
    for (const state of ENDS) {
      runtime.on(`job:${state}`, (event) => {
        const error = 'error' in event ? event.error : undefined
        for (const listener of this.#ends) listener(state, event.job.id, error)
        this.note()
      })
    }
  }

  /** True once a handler has been called for the job. */
  hasStarted(id: string): boolean {
    return this.#started.has(id)
  }

  /** Something has happened. */
  note(): void {
    this.count++
    this.#onChange()
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const resolve of waiting) resolve()
  }

  /** Resolves when something happens. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve))
  }

  /** Calls back at the end of each job; returns what ends that. */
  onEnd(listener: EndListener): () => void {
    this.#ends.add(listener)
    return () => void this.#ends.delete(listener)
  }

  /** Resolves to what `look` finds, now or within so many milliseconds of real time; to undefined when it finds nothing. */
  async until<Found>(look: () => Found | undefined, within: number): Promise<Found | undefined> {
    let isOver = false
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(() => {
      isOver = true
      resolve()
    }, within)
    try {
      for (let found = look(); ; found = look()) {
        if (found !== undefined || isOver) return found
        await Promise.race([this.next(), promise])
      }
    } finally {
      clearTimeout(timer)
    }
  }
}
