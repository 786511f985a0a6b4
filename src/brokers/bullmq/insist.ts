/** What has to be written is tried again until it is, or until the store says that it is not ours to write. */

// BullMQ's codes: no such job, no lock, not in that state, somebody else's lock.
const NO_LOCK = -2
const NOT_OURS: ReadonlySet<unknown> = new Set([-1, NO_LOCK, -3, -6])
const FIRST_WAIT = 50
const LONGEST_WAIT = 1000

/** True when the store has refused a write for good: another process has the job, or nobody does. */
export function isNotOurs(error: unknown): boolean {
  return NOT_OURS.has(Reflect.get(error as object, 'code'))
}

/** True when nobody has the job, as far as the store knows: the lease has run out, or the job is not a running one. */
export function hasLapsed(error: unknown): boolean {
  return Reflect.get(error as object, 'code') === NO_LOCK
}

/** Writes under way, so that a stop can wait for them. */
export class Writes {
  readonly #pending = new Set<Promise<unknown>>()
  /** Writes that wait for their next try. */
  readonly #waiting = new Set<() => void>()
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
        await this.#pause(wait)
      }
    }
  }

  /** Whatever waits for its next try is tried now: the store is there again. */
  again(): void {
    for (const go of this.#waiting) go()
  }

  #pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(go)
        resolve()
      }
      const timer = setTimeout(go, milliseconds)
      this.#waiting.add(go)
    })
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
