/** Keeps the process alive while jobs are unfinished, and only then. */

const A_DAY = 86_400_000

/** One timer that is referenced or not; it never has anything to do. */
export class KeepAlive {
  #timer: NodeJS.Timeout | undefined

  hold(): void {
    if (this.#timer === undefined) this.#timer = setInterval(() => {}, A_DAY)
    else this.#timer.ref()
  }

  letGo(): void {
    this.#timer?.unref()
  }

  close(): void {
    clearInterval(this.#timer)
  }
}
