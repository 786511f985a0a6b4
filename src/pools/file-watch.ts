/** Watches the files that threads have loaded, for servers in development. */
import { type FSWatcher, statSync, watch } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Clock } from '../words/clock.ts'

/** Milliseconds without a further change after which one is told: an editor writes several times. */
const SETTLED_AFTER = 50
const SOURCE = /\.[cm]?[jt]sx?$|\.json$/

/** Calls back when one of its files has changed. Does not keep the process alive. */
export class FileWatch {
  readonly #clock: Clock
  readonly #onChange: (files: readonly string[]) => void
  readonly #folders = new Map<string, FSWatcher>()
  /** What was last seen of each file. */
  readonly #files = new Map<string, string>()
  readonly #changed = new Set<string>()
  #clear: (() => void) | undefined
  #isClosed = false
  /** True while something is wrong with a handler: a file that is new may be what it misses. */
  looksForNew = false

  constructor(clock: Clock, onChange: (files: readonly string[]) => void) {
    this.#clock = clock
    this.#onChange = onChange
  }

  /** Watches a file, by its URL. */
  add(url: string): void {
    const file = fileURLToPath(url.replace(/[?#].*$/, ''))
    if (this.#isClosed || this.#files.has(file)) return
    this.#files.set(file, seenOf(file))
    // The folder and not the file: editors put another file in its place.
    const folder = dirname(file)
    if (this.#folders.has(folder)) return
    const watcher = watch(folder, { persistent: false }, (_, name) => this.#look(folder, name))
    watcher.on('error', () => this.#forget(folder))
    this.#folders.set(folder, watcher)
  }

  close(): void {
    this.#isClosed = true
    this.#clear?.()
    for (const watcher of this.#folders.values()) watcher.close()
    this.#folders.clear()
  }

  #forget(folder: string): void {
    this.#folders.get(folder)?.close()
    this.#folders.delete(folder)
  }

  #look(folder: string, name: string | null): void {
    const files = name === null ? [...this.#files.keys()] : [join(folder, name)]
    for (const file of files) {
      const before = this.#files.get(file)
      if (before === undefined && !(this.looksForNew && SOURCE.test(file))) continue
      const now = seenOf(file)
      // One that is gone is about to be replaced, or nothing can be loaded from it.
      if (now === '' || now === before) continue
      this.#files.set(file, now)
      this.#changed.add(file)
    }
    if (this.#changed.size === 0 || this.#isClosed) return
    this.#clear?.()
    this.#clear = this.#clock.timer(SETTLED_AFTER, () => {
      const changed = [...this.#changed]
      this.#changed.clear()
      this.#onChange(changed)
    })
  }
}

function seenOf(file: string): string {
  const stats = statSync(file, { throwIfNoEntry: false })
  return stats === undefined ? '' : `${stats.mtimeMs} ${stats.size} ${stats.ino}`
}
