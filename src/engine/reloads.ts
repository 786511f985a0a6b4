/** Replaces the threads of a runtime, so that handlers are imported anew: when it is asked to, or when their files have changed. */
import { relative } from 'node:path'
import { FileWatch } from '../pools/file-watch.ts'
import type { Clock } from '../words/clock.ts'
import { HandlerNotFoundError } from '../words/errors.ts'
import type { PoolSet } from './pool-set.ts'

/** The reloads of one runtime. */
export class Reloads {
  readonly #pools: () => PoolSet
  readonly #say: (line: string) => void
  readonly #watch: FileWatch | undefined

  /** `watches`: whether files are looked at. */
  constructor(clock: Clock, watches: boolean, pools: () => PoolSet, say: (line: string) => void) {
    this.#pools = pools
    this.#say = say
    this.#watch = watches ? new FileWatch(clock, (files) => void this.#changed(files)) : undefined
  }

  /** What a thread calls with each file that it loads; undefined where nobody looks. */
  get onLoaded(): ((url: string) => void) | undefined {
    const watch = this.#watch
    return watch && ((url) => watch.add(url))
  }

  /** Replaces every thread. Throws HandlerNotFoundError (as a rejection) when a handler cannot be imported now. */
  async reload(): Promise<void> {
    const problems = await this.#pools().reload()
    if (this.#watch !== undefined) this.#watch.looksForNew = problems.length > 0
    if (problems.length > 0) throw new HandlerNotFoundError(problems)
  }

  close(): void {
    this.#watch?.close()
  }

  async #changed(files: readonly string[]): Promise<void> {
    const list = files.map((file) => relative('', file)).join(', ')
    try {
      await this.reload()
      this.#say(`reloaded the handlers, since ${list} has changed`)
    } catch (error) {
      this.#say(`${list} has changed: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}
