/** What has to be written is tried again until it is, or until the store says that it is not ours to write. */

// BullMQ's codes: no such job, no lock, not in that state, somebody else's lock.
const NOT_OURS: ReadonlySet<unknown> = new Set([-1, -2, -3, -6])
const FIRST_WAIT = 50
const LONGEST_WAIT = 1000

/** True when the store has refused a write for good: another process has the job, or nobody does. */
export function isNotOurs(error: unknown): boolean {
  return NOT_OURS.has(Reflect.get(error as object, 'code'))
}

/** Writes under way, so that a stop can wait for them. */
export class Writes {
  readonly #pending = new Set<Promise<unknown>>()
  #isClosed = false

  /** Tries again after every fault that may pass. Rejects when the write is not ours, or after the deadline of `settle`. */
  insist<T>(write: () => Promise<T>): Promise<T> {
    const promise = this.#try(write)
    this.#pending.add(promise)
    const over = (): void => void this.#pending.delete(promise)
    promise.then(over, over)
    return promise
  }

  async #try<T>(write: () => Promise<T>): Promise<T> {
    for (let wait = FIRST_WAIT; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
      try {
        return await write()
      } catch (error) {
        if (isNotOurs(error) || this.#isClosed) throw error
        await new Promise((resolve) => setTimeout(resolve, wait))
      }
    }
  }

  /** Waits for what is under way, but not longer than so many milliseconds; then nothing is tried again. */
  async settle(most: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, most)
    })
    const idle = (async (): Promise<void> => {
      while (this.#pending.size > 0) await Promise.allSettled(this.#pending)
    })()
    await Promise.race([idle, deadline])
    clearTimeout(timer)
    this.#isClosed = true
  }
}
