/** Scenes that play in real time, on a machine that may stand still meanwhile. */

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

/** Returns what ends the watch and tells the longest time that this process stood still. */
function watchForStills(): () => number {
  let longest = 0
  let last = performance.now()
  const look = (): void => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }
  const timer = setInterval(look, 5)
  return () => {
    clearInterval(timer)
    look()
    return longest
  }
}
