/** What the engine learns about how long each task runs: the ground on which bundles are filled. */

// Up fast, down slowly: a task that has just been slow is not packed with others until it has proved itself again.
const RISE = 0.5
const FALL = 0.1

/** Expected run times by task number, in milliseconds. A task that has never run is expected to be long. */
export class RunTimes {
  readonly #expected: Float64Array

  constructor(tasks: number) {
    this.#expected = new Float64Array(tasks).fill(Number.POSITIVE_INFINITY)
  }

  expected(task: number): number {
    return this.#expected[task] as number
  }

  learn(task: number, ran: number): void {
    const before = this.#expected[task] as number
    this.#expected[task] =
      before === Number.POSITIVE_INFINITY ? ran : before + (ran - before) * (ran > before ? RISE : FALL)
  }
}
