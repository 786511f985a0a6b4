/** How many jobs stand in each state. Every job passes through four of them, so this is counting by number, not by name. */
import { type JobState, TERMINAL_STATES, UNFINISHED_STATES } from '../../words/job.ts'

const STATES: readonly JobState[] = [...TERMINAL_STATES, ...UNFINISHED_STATES]
const COMPLETED = STATES.indexOf('completed')
const RUNNING = STATES.indexOf('running')
const AVAILABLE = STATES.indexOf('available')
const HELD = STATES.indexOf('held')

/** Counts jobs by state. */
export class StateCounts {
  readonly #counts = new Int32Array(STATES.length)

  enter(state: JobState): void {
    const place = placeOf(state)
    this.#counts[place] = (this.#counts[place] as number) + 1
  }

  leave(state: JobState): void {
    const place = placeOf(state)
    this.#counts[place] = (this.#counts[place] as number) - 1
  }

  all(): Record<JobState, number> {
    const entries = STATES.map((state, place) => [state, this.#counts[place] as number] as const)
    return Object.fromEntries(entries) as Record<JobState, number>
  }
}

// Comparisons, where an object of counts would be a search by name at each step of each job: those that every job
// passes through come first, and where a caller names the state the compiler knows the answer.
function placeOf(state: JobState): number {
  switch (state) {
    case 'completed':
      return COMPLETED
    case 'running':
      return RUNNING
    case 'available':
      return AVAILABLE
    case 'held':
      return HELD
    default:
      return STATES.indexOf(state)
  }
}
