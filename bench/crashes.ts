/** Forty jobs that end their thread and twenty empty ones, on one thread: how many thread starts each of them take. */
import { createRuntime, defineTask } from 'aftertask'

const handlers = new URL('./workers/crashes.js', import.meta.url)
const exit = defineTask({ name: 'exit', handler: { module: handlers, export: 'exit' } })
const nothing = defineTask({ name: 'nothing', handler: { module: handlers, export: 'nothing' } })

// The task that is measured with has done nothing yet.
const measure = defineTask({
  name: 'measure',
  handler: { module: handlers, export: 'exit' },
  onCrash: 'fail',
})
const runtime = createRuntime({ tasks: [exit, nothing, measure], pool: { threads: 1 }, log: false })
await runtime.ready()

/** Milliseconds from the end of a thread until the next is up, of a few. */
async function threadStart(): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < 3; round++) {
    const { promise, resolve } = Promise.withResolvers<number>()
    const exited = (): void => {
      const at = performance.now()
      runtime.off('thread:exited', exited)
      const started = (): void => {
        runtime.off('thread:started', started)
        resolve(performance.now() - at)
      }
      runtime.on('thread:started', started)
    }
    runtime.on('thread:exited', exited)
    const job = runtime.enqueue('measure')
    times.push(await promise)
    await job.settled
    await runtime.enqueue('nothing').settled
  }
  return times.sort((a, b) => a - b)[1] as number
}

const start = await threadStart()
let deaths = 0
runtime.on('thread:exited', () => void deaths++)
const begun = performance.now()
const killers = Array.from({ length: 40 }, () => runtime.enqueue('exit'))
const others = Array.from({ length: 20 }, () => runtime.enqueue('nothing'))
await Promise.all(others.map((job) => job.settled))
const othersTook = performance.now() - begun
const deathsBefore = deaths
await Promise.all(killers.map((job) => job.settled))
const allTook = performance.now() - begun
const inStarts = (milliseconds: number): string => `${(milliseconds / start).toFixed(1)} thread starts`
console.log(`a thread starts in ${start.toFixed(0)} ms`)
console.log(
  `20 empty jobs: ${othersTook.toFixed(0)} ms, ${inStarts(othersTook)}, after ${deathsBefore} deaths`,
)
console.log(
  `40 jobs that end their thread, three times each: ${allTook.toFixed(0)} ms, ${inStarts(allTook)}, ${deaths} deaths`,
)
await runtime.stop()
