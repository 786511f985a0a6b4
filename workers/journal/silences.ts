/**
 * How long the other processes of a shared file have said nothing, by what this one has seen itself: a clock that is set,
 * or a pause of the whole machine, makes nobody silent.
 */
import { LEASE } from './place.ts'

/** Between two looks counts at most so much: whoever did not look cannot tell who was silent meanwhile. */
const MOST_BETWEEN = 1000

/** Counts silence. */
export class Silences {
  #runs = new Map<number, { readonly seen: number; readonly quiet: number }>()
  #lookedAt: number | undefined

  /** Looks when each open run was last heard of. */
  look(runs: readonly { readonly run: number; readonly seen: number }[], wall: number): void {
    const since = Math.min(Math.abs(wall - (this.#lookedAt ?? wall)), MOST_BETWEEN)
    this.#lookedAt = wall
    const before = this.#runs
    this.#runs = new Map(
      runs.map(({ run, seen }) => {
        const last = before.get(run)
        return [run, { seen, quiet: last?.seen === seen ? last.quiet + since : 0 }]
      }),
    )
  }

  /** True when a run counts as dead, whatever else is known of it. */
  isSilent(run: number): boolean {
    return (this.#runs.get(run)?.quiet ?? 0) >= LEASE
  }
}
