/**
 * Scenes that play in real time, on a machine that may stand still meanwhile. Processes that a scene starts watch
 * themselves, if what they import calls `watchThisProcess`.
 */
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isMainThread } from 'node:worker_threads'

// Where processes of the scene write how long they stood still.
const STILLS = 'AFTERTASK_TEST_STILLS'

/** Milliseconds that a machine which keeps up never stands still for. */
const STILL = 100
const SLOWEST = 16

/**
 * Plays a scene whose times are `slower` times as long as they could be. A scene that failed while the machine stood still
 * was another one than it should have been, and is played again, with all its times twice as long. One that failed on a
 * machine that kept up has failed.
 */
export async function playSteadily(scene: (slower: number) => Promise<void>): Promise<void> {
  for (let slower = 1; ; slower *= 2) {
    const longest = watchForStills()
    try {
      await scene(slower)
      longest()
      return
    } catch (error) {
      const still = longest()
      if (still < STILL * slower || slower === SLOWEST) throw error
      console.log(`Played again: the machine stood still for ${Math.round(still)} ms.`)
    }
  }
}

/** Returns what ends the watch and tells the longest time that this process, or another of the scene, stood still. */
function watchForStills(): () => number {
  const folder = mkdtempSync(join(tmpdir(), 'aftertask-stills-'))
  const file = join(folder, 'stills')
  process.env[STILLS] = file
  let longest = 0
  const look = watch((still) => {
    longest = Math.max(longest, still)
  })
  return () => {
    look()
    delete process.env[STILLS]
    const others = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n').map(Number) : []
    rmSync(folder, { recursive: true, force: true })
    return Math.max(longest, ...others)
  }
}

/** In a process that a scene has started: tells the scene how long the process stood still. */
export function watchThisProcess(): void {
  const file = process.env[STILLS]
  if (file === undefined || !isMainThread) return
  watch((still) => {
    try {
      if (still >= STILL) appendFileSync(file, `${Math.round(still)}\n`)
    } catch {
      // The scene is over.
    }
  })
}

/** Calls back with each time between two looks of the event loop; returns what ends that, with a last look. */
function watch(passed: (milliseconds: number) => void): () => void {
  let last = performance.now()
  const look = (): void => {
    const now = performance.now()
    passed(now - last)
    last = now
  }
  const timer = setInterval(look, 5).unref()
  return () => {
    clearInterval(timer)
    look()
  }
}
