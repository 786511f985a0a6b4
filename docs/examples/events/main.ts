import { createRuntime } from 'aftertask'
import { countPrimes } from './tasks.ts'

const runtime = createRuntime({ tasks: [countPrimes] })
await runtime.ready()

// #region events
runtime
  .on('job:enqueued', ({ job, state }) => console.log(`${job.name} is ${state}`))
  .on('job:started', ({ job }) => console.log(`attempt ${job.attempt} has started`))
  .on('job:progress', ({ progress }) => console.log(`progress ${progress}`))
  .on('job:log', ({ level, message, data }) => console.log(level, message, data))
  .on('job:completed', ({ result, ran, total }) =>
    console.log(`result ${result}, in time: ${ran <= total + 1}`),
  )
// #endregion events

// #region job
const count = runtime.enqueue('primes.count', { below: 10_000 })
await count.settled
console.log(await runtime.job(count.id))
// #endregion job

// #region stats
const stats = runtime.stats() // this process, synchronous
console.log(stats.pending, stats.completed, stats.phase, Object.keys(stats.pools))
const counts = await runtime.counts() // by state, across the broker
console.log(counts.available, counts.completed)
// #endregion stats

await runtime.stop()
