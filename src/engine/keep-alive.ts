/** Keeps the process alive while jobs are unfinished, and only then. */
import { AsyncLocalStorage } from 'node:async_hooks'

const A_DAY = 86_400_000

// The timer must not hold the request that happens to add the first job, with all that its context stores.
const outsideOfRequests = AsyncLocalStorage.snapshot()

/** One timer that is referenced or not; it never has anything to do. */
export class KeepAlive {
  #timer: NodeJS.Timeout | undefined

  hold(): void {
    if (this.#timer === undefined) this.#timer = outsideOfRequests(setInterval, () => {}, A_DAY)
    else this.#timer.ref()
  }

  letGo(): void {
    this.#timer?.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
