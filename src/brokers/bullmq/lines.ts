/**
 * Lines: jobs of one key, or of one batch in order, stand one behind the other, and only the first may run. BullMQ knows
 * nothing like it that holds over processes. Who leaves a line calls the next; should that call get lost with a process,
 * the next one looks again by itself after a while, so that no line stands still for ever.
 */
import type { Place, Store } from './store.ts'

/** A job as a member of a line: its queue and its id. */
export function memberOf(queue: string, id: string): string {
  return `${queue}|${id}`
}

/** The line of a key. */
export function lineOfKey(key: string): string {
  return `k:${key}`
}

// A job enters a line before it is added to its queue: one that is in no queue after this time never will be.
const NEVER_ADDED_AFTER = 30_000

/** Moves lines on. */
export class Lines {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
  }

  /** Enters a line, or finds its place in it. One who stands first though it is over is taken out. */
  async join(line: string, member: string): Promise<Place> {
    for (;;) {
      const place = await this.#store.join(line, member)
      if (place.isFirst || !(await this.#isOver(place))) return place
      await this.#store.leave(line, place.head, false)
    }
  }

  /** Leaves a line, and calls the next. */
  async leave(line: string, member: string, stop: boolean): Promise<void> {
    const next = await this.#store.leave(line, member, stop)
    if (next !== undefined) await this.call(next)
  }

  /** Lets a job that waits in its queue come forward at once. */
  async call(member: string): Promise<void> {
    const { queue, id } = split(member)
    // It may be on its way into the queue, or running already: then there is nothing to do.
    await this.#store.promote(queue, id)
  }

  async #isOver({ head, since }: Place): Promise<boolean> {
    const { queue, id } = split(head)
    const state = await this.#store.queue(queue).backend.getState(id)
    if (state === 'unknown') return Date.now() - since > NEVER_ADDED_AFTER
    return state === 'completed' || state === 'failed'
  }
}

function split(member: string): { queue: string; id: string } {
  const at = member.indexOf('|')
  return { queue: member.slice(0, at), id: member.slice(at + 1) }
}
